"""Work that waits for child processes: several at once, each child on its share of the cores.

What toolchains do alone, in Python and on one core, is most of an export's time; the other cores would wait for it.
"""

import contextvars
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NoReturn, TypeVar

from ..runtime.device import memory_bytes
from .child import Children

T = TypeVar("T")
_MOST = 4  # at once
_BYTES = 3 << 30  # of a toolchain with a network
_PATIENCE_S = 5.0  # with what a thread itself is at when the others have failed, such as a copy

_Call = Callable[[], object]
_CALLS: "contextvars.ContextVar[queue.SimpleQueue[_Call] | None]" = contextvars.ContextVar("calls", default=None)


def run_jobs(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """What each job returns, in their order.

    Each is called in a thread and in a copy of this context. Where one raises, or Ctrl-C comes, the children of all
    end, what has not begun never does, and it is raised. One after the other where a process cannot be kept to some of
    the cores: libraries then take all of them, and two would be in each other's way.
    """
    shares = shares_of_cores(min(_most_at_once(), len(jobs)))
    if len(shares) < 2:
        return [job() for job in jobs]
    waiting = deque(enumerate(jobs))
    found: dict[int, T] = {}
    calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()

    def work() -> None:
        while True:
            try:
                at, job = waiting.popleft()
            except IndexError:
                return
            try:
                calls.put(partial(found.__setitem__, at, job()))
            except BaseException as error:
                calls.put(partial(_raise, error))

    with Children(shares) as children:
        token = _CALLS.set(calls)
        # Daemons: a program that ends does not wait for them.
        threads = [threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True) for _ in shares]
        _CALLS.reset(token)
        try:
            for thread in threads:
                thread.start()
            while len(found) < len(jobs):
                calls.get()()
        finally:
            waiting.clear()
            children.end()
            for thread in threads:
                thread.join(_PATIENCE_S)
    return [found[at] for at in range(len(jobs))]


def in_caller(function: Callable[..., object], *arguments: object) -> None:
    """Call it soon in the thread that called `run_jobs`, whose callbacks need not know of ours; at once in no job."""
    calls = _CALLS.get()
    if calls is None:
        function(*arguments)
    else:
        calls.put(partial(function, *arguments))


def shares_of_cores(most: int) -> list[set[int]]:
    """The cores of this process in even shares, at most so many; none where a process cannot be kept to some."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    count = max(1, min(most, len(cores)))
    ends = [len(cores) * at // count for at in range(count + 1)]
    return [set(cores[begin:end]) for begin, end in pairwise(ends)]


def _most_at_once() -> int:
    return min(_MOST, (memory_bytes() or _BYTES) // _BYTES)


def _raise(error: BaseException) -> NoReturn:
    raise error
