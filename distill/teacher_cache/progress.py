"""How far a long pass over a cache is: a live bar with images/s and an ETA, or a line a minute in a log."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from rich.console import Console
from rich.progress import TextColumn

from ...runtime.progress import progress_bar

_LOG_SECONDS = 60.0


@contextlib.contextmanager
def image_progress(title: str, total: int, console: Console) -> Iterator[Callable[[int], None]]:
    """Yield a callback that takes how many of `total` images are done."""
    bar = progress_bar(console, TextColumn("{task.fields[speed]}"))
    task = bar.add_task(title, total=total, speed="")
    began = logged = time.monotonic()

    def tell(done: int) -> None:
        nonlocal logged
        now = time.monotonic()
        speed = done / max(now - began, 1e-9)
        bar.update(task, completed=done, speed=f"{speed:,.0f} images/s")
        if not console.is_terminal and now - logged >= _LOG_SECONDS:
            logged = now
            left = timedelta(seconds=round((total - done) / max(speed, 1e-9)))
            console.print(f"{title}: {done:,} of {total:,} images, {speed:,.0f} images/s, {left} left", highlight=False)

    with bar:
        yield tell
