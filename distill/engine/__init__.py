"""Training: settings, the loop, evaluation."""

from .evaluate import Outputs, predict_logits
from .settings import TrainSettings
from .trainer import Job, fit

__all__ = ["Job", "Outputs", "TrainSettings", "fit", "predict_logits"]
