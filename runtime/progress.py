"""Progress bars with an ETA."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def progress_bar(console: Console, *extra: ProgressColumn) -> Progress:
    """Title, bar, count, `extra`, elapsed and remaining time; nothing is drawn where there is no terminal."""
    return Progress(
        TextColumn("[bold]{task.description}[/]"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        *extra,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


@contextlib.contextmanager
def counting(title: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that advances a bar."""
    bar = progress_bar(console)
    task = bar.add_task(title, total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)
