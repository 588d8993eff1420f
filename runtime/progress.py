"""Progress bars with an ETA, lines of text, and durations in words."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Left(TimeRemainingColumn):
    """The time left, where the end is known; the word stands behind it, since the time so far comes before."""

    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else super().render(task).append(" left")


def progress_bar(console: Console, *extra: ProgressColumn) -> Progress:
    """Title, bar, count, `extra`, elapsed and remaining time; nothing is drawn where there is no terminal."""
    return Progress(
        TextColumn("[bold]{task.description}[/]"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        *extra,
        TimeElapsedColumn(),
        _Left(),
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


def print_line(console: Console, text: str) -> None:
    """Print text as it is, brackets and numbers included, in one line however long it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """For people: "40 s", "25 min", "3 h 10 min", "6 days 4 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"
