"""The steps of an export, told as they begin."""

import contextvars
import threading
from collections.abc import Callable
from typing import TypeAlias

from .jobs import in_caller

Progress: TypeAlias = Callable[[int, int, str], None]


class Steps:
    """Numbers the steps for a progress display; `detail` says what a long one is at.

    Threads that were begun in a copy of the context may take steps at once: each tells of its own.

    Args:
        progress: called with (step, number of steps, what begins), in the thread that waits for them.
        total: how many there will be.
    """

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._number = progress, total, 0
        self._text: contextvars.ContextVar[str] = contextvars.ContextVar("text", default="")
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        self._text.set(text)
        self._tell(text, begins=True)

    def detail(self, text: str) -> None:
        if text != (step := self._text.get()):
            self._tell(f"{step}: {text}", begins=False)

    def _tell(self, text: str, *, begins: bool) -> None:
        with self._lock:
            self._number += begins
            if self._progress is not None:
                in_caller(self._progress, self._number, self._total, text)
