"""What is done: a recipe's data, its teachers, its students, each trained once and resumable."""

from .experiment import Experiment
from .teachers import Teacher
from .trainings import Role

__all__ = ["Experiment", "Role", "Teacher"]
