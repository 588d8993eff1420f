"""Where a training's record goes besides its folder: one file per logger, found by name."""

from .base import LOGGERS, Logger, Run, require_loggers

__all__ = ["LOGGERS", "Logger", "Run", "require_loggers"]
