"""Models by name: backbone, head, training-only branches."""

from typing import TypeAlias

from .backbone import BACKBONES
from .build import build_from_spec, build_model
from .classifier import Classifier
from .merged import MergedTeacher
from .output import ModelOutput
from .outside import MappedNetwork, OutsideNetwork
from .resized import ResizedInput
from .spec import ModelSpec

TeacherModel: TypeAlias = Classifier | MergedTeacher | MappedNetwork | OutsideNetwork | ResizedInput
"""What can teach: takes images by `normalize`, returns a ModelOutput."""

__all__ = [
    "BACKBONES",
    "Classifier",
    "MappedNetwork",
    "MergedTeacher",
    "ModelOutput",
    "ModelSpec",
    "OutsideNetwork",
    "ResizedInput",
    "TeacherModel",
    "build_from_spec",
    "build_model",
]
