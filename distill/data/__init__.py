"""Data for training: the built-in scenes, augmentation, loading.

Importing this package registers the format `digit_scenes` and imports neither torch nor scikit-learn.
"""

from . import digit_scenes

__all__ = ["digit_scenes"]
