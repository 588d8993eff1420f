"""What a command would cost: networks, trainings, time and disk, before anything runs."""

from .report import plan

__all__ = ["plan"]
