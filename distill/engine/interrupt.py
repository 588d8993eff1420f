"""Ctrl-C and SIGTERM finish the step instead of tearing it apart."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from rich.console import Console


class Interrupt:
    """True once the user has asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    def __bool__(self) -> bool:
        return self.requested


def print_at_once(console: Console, message: str) -> None:
    """Print from a signal's handler, which may have interrupted rich in the middle of importing its emoji."""
    console.print(message, emoji=False)


@contextlib.contextmanager
def catch_interrupt(acknowledge: Callable[[], None]) -> Iterator[Interrupt]:
    """The first SIGINT or SIGTERM sets the flag and calls `acknowledge`; a second SIGINT raises KeyboardInterrupt."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # only the main thread may handle signals
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupt.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not interrupt.requested:
            interrupt.requested = True
            acknowledge()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
