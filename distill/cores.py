"""PyTorch's threads each keep to a core of their own while they compute.

Left alone, Linux puts two threads of a training on one core when another process is busy, and whoever is done waits for
the others at every operation: two trainings side by side each get half of what their share of the machine could do.
Threads that stay where they are share each core fairly (benchmarks/openmp_spin.py measures it).
"""

import contextlib
import os
import sys
from collections.abc import Iterator

_OF_OPENMP = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
_ASKED = {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}  # of OpenMP 4.0: one after the other, on physical cores
_ABOVE_PYTORCH_S_GRAIN = 2**20  # elements of an operation that surely runs on all threads

_main_thread_s: list[set[int]] = []  # its core, once threads are bound


def bind_threads() -> bool:
    """Bind PyTorch's threads, one to each core that this process may use; returns whether they are.

    To be called before torch is imported, by a command that has the process to itself: OpenMP reads its settings when
    it is loaded. It binds the calling thread too, from which loading processes and other threads inherit; so that one
    is set free again, and goes to its core in `on_its_core` alone. Where the user has set something else, or gives
    fewer threads than cores (processes side by side would all choose the first cores), nothing is bound.
    """
    if "torch" in sys.modules or not sys.platform.startswith("linux") or any(map(os.environ.get, _OF_OPENMP)):
        return False
    cores = os.sched_getaffinity(0)
    if os.environ.get("OMP_NUM_THREADS", str(len(cores))) != str(len(cores)):
        return False
    os.environ |= _ASKED
    try:
        import torch
    finally:
        for name in _ASKED:  # processes that are started from here decide for themselves
            del os.environ[name]
    torch.zeros(_ABOVE_PYTORCH_S_GRAIN).add_(1)  # at their first common work OpenMP's threads come to their cores
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    _main_thread_s[:] = [own] if len(own) < len(cores) else []
    return bool(_main_thread_s)


@contextlib.contextmanager
def on_its_core() -> Iterator[None]:
    """The thread that called `bind_threads` keeps to its core: for work that all of PyTorch's threads share."""
    if not _main_thread_s:
        yield
        return
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _main_thread_s[0])
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)
