"""Models by name: backbone, head, training-only branches."""

from typing import TypeAlias

from .backbone import BACKBONES
from .build import build_from_spec, build_model
from .classifier import Classifier
from .merged import MergedTeacher
from .output import ModelOutput
from .spec import ModelSpec

TeacherModel: TypeAlias = Classifier | MergedTeacher
"""What can teach: takes images by `normalize`, returns a ModelOutput."""

__all__ = [
    "BACKBONES",
    "Classifier",
    "MergedTeacher",
    "ModelOutput",
    "ModelSpec",
    "TeacherModel",
    "build_from_spec",
    "build_model",
]
