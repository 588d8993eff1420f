"""A program that ends with an error ends, whatever its traceback still holds."""

import subprocess
import sys

INTERRUPTED = """
from torch.utils.data import DataLoader
from edgedistill.distill.data.loader import quiet_worker

batches = iter(DataLoader(range(1000), num_workers=2, persistent_workers=True, worker_init_fn=quiet_worker))
next(batches)
raise KeyboardInterrupt
"""


def test_loading_processes_do_not_keep_it_alive():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert "KeyboardInterrupt" in done.stderr
    assert done.returncode not in (0, None)
