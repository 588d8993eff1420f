"""What a step frees is there for the next one, without a page fault."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from edgedistill.distill.engine.memory import keep_freed_memory
if len(sys.argv) > 1 and not keep_freed_memory():
    print("none")
    raise SystemExit
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for megabytes in (48, 3, 96):
        torch.zeros(megabytes << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
step()
print(sum(step() for _ in range(3)))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is Linux's")
def test_large_blocks_are_taken_again_without_page_faults():
    def faults(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", FAULTS, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    kept = faults("keep")
    if kept == "none":
        pytest.skip("no glibc here")
    assert int(kept) < 100
    assert int(faults()) > 10 * max(int(kept), 100)  # else the C library has learned it, and ours can go
