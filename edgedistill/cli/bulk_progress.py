"""How far a long list of images is: a bar on a terminal, else a line now and then."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from edgedistill.runtime.progress import counting, duration

_EVERY = 30.0  # seconds between two lines of a log


@contextlib.contextmanager
def bulk_progress(console: Console, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Yield a callback that is told how many images are done.

    Args:
        console: of messages.
        total: how many there are; None where nobody knows, so that no time left is told.
        done: how many of them an earlier run did.
    """
    if console.is_terminal:
        with counting("images", console) as advance:
            yield lambda now: advance(now, total)  # type: ignore[arg-type]
        return
    begun = told = time.monotonic()

    def tell(now: int) -> None:
        nonlocal told
        moment = time.monotonic()
        if moment - told < _EVERY:
            return
        told, rate = moment, (now - done) / (moment - begun)
        left = f" of {total:,}, about {duration((total - now) / rate)} left" if total and rate else ""
        console.print(f"{now:,} images{left} ({rate:.3g} a second)", soft_wrap=True)

    yield tell
