"""Models by name: backbone, head, training-only branches."""

from .backbone import BACKBONES
from .build import ModelSpec, build_from_spec, build_model
from .classifier import Classifier
from .output import ModelOutput

__all__ = ["BACKBONES", "Classifier", "ModelOutput", "ModelSpec", "build_from_spec", "build_model"]
