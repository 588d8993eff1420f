"""Data for training: the built-in scenes, augmentation, loading."""

from . import digit_scenes  # registers the format
from .augment import AUGMENTATIONS
from .loader import training_loader
from .split import split_validation

__all__ = ["AUGMENTATIONS", "digit_scenes", "split_validation", "training_loader"]
