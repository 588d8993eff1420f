"""Training: settings, the loop, evaluation."""

from .evaluate import Outputs, predict_logits
from .optimize import choose_device
from .settings import TrainSettings
from .trainer import Job, fit

__all__ = ["Job", "Outputs", "TrainSettings", "choose_device", "fit", "predict_logits"]
