"""On the device: what nobody needs any more does not stay there. Only the standard library."""

import contextlib
import shutil
import time
from pathlib import Path

_DAY_S = 86_400
_KEPT_DAYS = 30


def prune(cache: Path) -> None:
    """Remove what was not used for a month, and what interrupted commands left a day ago or longer."""
    now = time.time()
    for pattern, days in (
        ("runs/*", 1), ("environments/.*.tmp", 1), ("files/*/.*.tmp", 1),
        ("environments/*", _KEPT_DAYS), ("files/*/*", _KEPT_DAYS), ("wheels/*/*", _KEPT_DAYS),
    ):  # fmt: skip
        for path in cache.glob(pattern):
            with contextlib.suppress(OSError):
                if now - path.lstat().st_mtime > days * _DAY_S:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
