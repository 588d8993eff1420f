"""How an artifact is built, one file per backend."""

from .base import BUILDERS, Builder, Built

__all__ = ["BUILDERS", "Builder", "Built"]
