"""Where what can be made again is kept on this machine."""

import os
import sys
from pathlib import Path

CACHE_VARIABLE = "EDGEDISTILL_CACHE"


def cache_folder() -> Path:
    """Where what can be made again is kept: $EDGEDISTILL_CACHE, else the system's own place for it."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "edgedistill"
    variable, usual = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_CACHE_HOME", ".cache")
    return Path(os.environ.get(variable) or Path.home() / usual) / "edgedistill"
