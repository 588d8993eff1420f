"""What is done: a recipe's data, its teachers, its students, each trained once and resumable."""

from .experiment import Experiment, Role

__all__ = ["Experiment", "Role"]
