"""Work that waits for child processes: several at once, each child on its share of the cores.

What toolchains do alone, in Python and on one core, is most of an export's time; the other cores would wait for it.
"""

import contextvars
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from .child import Children

T = TypeVar("T")
_MOST = 4  # at once: each takes the memory of a toolchain and a network


def run_jobs(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """What each job returns, in their order.

    Each is called in a thread of its own and in a copy of this context. Where one raises, or Ctrl-C comes, the children
    of all end, what has not begun never does, and it is raised. One after the other where a process cannot be kept to
    some of the cores: libraries then take all of them, and two would be in each other's way.
    """
    shares = cores_of_each(min(_MOST, len(jobs)))
    if len(shares) < 2:
        return [job() for job in jobs]
    children = Children(shares)
    with children, ThreadPoolExecutor(len(shares)) as pool:
        waiting = [pool.submit(contextvars.copy_context().run, job) for job in jobs]
        try:
            done, _ = wait(waiting, return_when=FIRST_EXCEPTION)
            for one in done:
                one.result()  # what one raised ends the others now, and not when it is their turn
            return [one.result() for one in waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()
            raise


def cores_of_each(most: int) -> list[set[int]]:
    """The cores of this process in equal shares, at most so many; none where a process cannot be kept to some."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    count = max(1, min(most, len(cores)))
    each = len(cores) // count
    return [set(cores[at * each : (at + 1) * each]) for at in range(count)]
