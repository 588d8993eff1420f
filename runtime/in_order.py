"""Work on items in several threads, with the results in the items' order, in bounded memory."""

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE_S = 10.0  # for work that is under way when the process ends


def in_order(work: Callable[[T], R], items: Iterable[T], *, threads: int, ahead: int, name: str) -> Iterator[R]:
    """`map(work, items)`, in threads.

    An item is taken only when fewer than `ahead` results wait or are under way, in one thread at a time. What taking
    or working raises is raised in its turn. Whoever stops early waits for nothing: threads that work on something end
    with it. The process's end waits for that, ten seconds at most, and never for an item.

    Args:
        work: called in several threads at once.
        items: may be endless, and may make whoever asks for the next one wait; results that are ready come meanwhile.
        threads: how many.
        ahead: how many items are taken before their results are asked for.
        name: of the threads.
    """
    line = _Line(work, items, ahead)
    for number in range(threads):
        threading.Thread(target=line.serve, name=f"{name}-{number}", daemon=True).start()
    try:
        yield from line.results()
    finally:
        line.stop()


class _Line(Generic[T, R]):
    """What the threads share."""

    def __init__(self, work: Callable[[T], R], items: Iterable[T], ahead: int) -> None:
        self._work, self._items = work, enumerate(items)
        self._taking = threading.Lock()
        self._room = threading.Semaphore(ahead)
        self._told = threading.Condition()
        self._done: dict[int, tuple[R | None, BaseException | None]] = {}
        self._taken = self._working = 0
        self._ended = False  # nothing more is taken
        self._process = os.getpid()
        _lines.add(self)

    def serve(self) -> None:
        """A thread's life."""
        while True:
            self._room.acquire()
            with self._taking:
                if self._ended:
                    break
                try:
                    number, item = next(self._items)
                except StopIteration:
                    self._end()
                    break
                except BaseException as error:
                    self._tell(self._taken, None, error)
                    self._end()
                    break
                self._taken = number + 1
                with self._told:
                    if self._ended:  # meanwhile: nobody asks for it any more
                        break
                    self._working += 1
            try:
                result = self._work(item)
            except BaseException as error:
                self._tell(number, None, error)
            else:
                self._tell(number, result, None)
            finally:
                with self._told:
                    self._working -= 1
                    self._told.notify_all()
        self._room.release()  # for the next thread, to see the same

    def results(self) -> Iterator[R]:
        """In order, until the items end."""
        for number in count():
            with self._told:
                self._told.wait_for(lambda: number in self._done or (self._ended and number >= self._taken))  # noqa: B023
                if number not in self._done:
                    return
                result, error = self._done.pop(number)
            self._room.release()
            if error is not None:
                raise error
            yield result  # type: ignore[misc]

    def stop(self) -> None:
        """Nothing more is taken; whoever waits for room leaves."""
        self._ended = True
        self._room.release()

    def settle(self, seconds: float) -> None:
        """Wait for what is under way, so long at most."""
        if self._process == os.getpid():  # a fork has no threads
            with self._told:
                self._told.wait_for(lambda: not self._working, max(0.0, seconds))

    def _tell(self, number: int, result: R | None, error: BaseException | None) -> None:
        with self._told:
            self._done[number] = (result, error)
            self._told.notify_all()

    def _end(self) -> None:
        with self._told:
            self._ended = True
            self._told.notify_all()


_lines: "weakref.WeakSet[_Line]" = weakref.WeakSet()


@atexit.register
def _settle() -> None:
    """Native code that is under way when the interpreter ends may abort the process ("terminate called ...")."""
    end = time.monotonic() + _PATIENCE_S
    lines = list(_lines)
    for line in lines:
        line.stop()
    for line in lines:
        line.settle(end - time.monotonic())
