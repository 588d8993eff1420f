"""Training: settings, the loop, evaluation."""

from .evaluate import Outputs, predict_logits
from .job import Job
from .optimize import choose_device
from .settings import TrainSettings
from .teachers import LiveSource, TeacherSource
from .trainer import fit
from .world import ALONE, World, current_world, joined_world

__all__ = [
    "ALONE",
    "Job",
    "LiveSource",
    "Outputs",
    "TeacherSource",
    "TrainSettings",
    "World",
    "choose_device",
    "current_world",
    "fit",
    "joined_world",
    "predict_logits",
]
