"""Processes that load images beside a training: they keep quiet, and end with the one that started them."""

import functools
import multiprocessing
import os
import signal
import time
from multiprocessing.util import Finalize
from typing import Any

import torch

_PATIENCE_S = 0.5  # for all of them together
_FIRST = 100  # of what multiprocessing does at a process's end


def loading(processes: int) -> dict[str, Any]:
    """What a DataLoader is given so that so many processes load for it; 0: it loads by itself."""
    if processes:
        _end_with(os.getpid())
    return {
        "num_workers": processes,
        "worker_init_fn": _keep_quiet if processes else None,
        "generator": torch.Generator(),  # else every start draws from the global one
    }


def _keep_quiet(_: int) -> None:
    """Ctrl-C and SIGTERM are the main process's to handle, also when the whole group gets them, as under torchrun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)


@functools.cache
def _end_with(process: int) -> None:
    """Once in each process: one that multiprocessing started runs nothing of `atexit`, and forgets its parent's."""
    Finalize(None, _end_all, exitpriority=_FIRST)


def _end_all() -> None:
    """End the loading processes that are left when this one ends, as where a traceback still holds their loader:
    multiprocessing asks its daemons by SIGTERM, which they ignore, and waits for ever.
    """
    left = [process for process in multiprocessing.active_children() if process.daemon]
    if left and hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises when a loading process is killed
    for process in left:
        process.terminate()
    end = time.monotonic() + _PATIENCE_S
    for process in left:
        process.join(max(0.0, end - time.monotonic()))
        if process.is_alive():
            process.kill()
