"""From photographs to labels: an artifact with its preprocessing and its thresholds."""

from .given import Images
from .loading import load
from .prediction import Prediction
from .predictor import Predictor

__all__ = ["Images", "Prediction", "Predictor", "load"]
