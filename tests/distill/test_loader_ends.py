"""What ends with an error ends, whatever its traceback still holds: a program, and a process of multiprocessing's."""

import os
import signal
import subprocess
import sys

import pytest

INTERRUPTED = """
import multiprocessing
import sys

from torch.utils.data import DataLoader
from edgedistill.distill.data.loading_processes import loading


def work():
    batches = iter(DataLoader(range(1000), persistent_workers=True, **loading(2)))
    next(batches)
    raise KeyboardInterrupt


if sys.argv[1] == "program":
    work()
loading(1)  # what a process registers for its own end its children do not have
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("kind", ["program", pytest.param("child", marks=pytest.mark.skipif(
    not hasattr(os, "fork"), reason="this system does not fork"))])  # fmt: skip
def test_loading_processes_do_not_keep_it_alive(kind):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, kind], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        told = process.communicate(timeout=60)[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert "KeyboardInterrupt" in told
    assert process.returncode not in (0, None)
