"""The steps of an export, told as they begin."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int, str], None]


class Steps:
    """Numbers the steps for a progress display; `detail` says what a long one is at.

    Args:
        progress: called with (step, number of steps, what begins).
        total: how many there will be.
    """

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._number, self._text = progress, total, 0, ""

    def __call__(self, text: str) -> None:
        self._number, self._text = self._number + 1, text
        self._tell(text)

    def detail(self, text: str) -> None:
        if text != self._text:
            self._tell(f"{self._text}: {text}")

    def _tell(self, text: str) -> None:
        if self._progress is not None:
            self._progress(self._number, self._total, text)
