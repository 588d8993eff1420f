"""A frozen teacher's outputs on every view of a training split, computed once, shared by runs, students and methods."""

from .cached import CachedTeacher
from .opening import open_or_build
from .per_image import AveragedViews, PerImageSource
from .scores import ScoresSource, ScoreTable
from .source import CachedSource
from .spec import teacher_digest

__all__ = [
    "AveragedViews",
    "CachedSource",
    "CachedTeacher",
    "PerImageSource",
    "ScoreTable",
    "ScoresSource",
    "open_or_build",
    "teacher_digest",
]
