"""A study: students x methods x seeds on the same data, as a queue of trainings that any process may continue."""

from .cell import Cell
from .record import StudyRecord
from .store import Store
from .study import Study, load_study

__all__ = ["Cell", "Store", "Study", "StudyRecord", "load_study"]
