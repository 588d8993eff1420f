"""The one console script: `edgedistill <command>`."""

from .app import main

__all__ = ["main"]
