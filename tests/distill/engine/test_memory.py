"""What a step frees is there for the next one, without a page fault."""

import subprocess
import sys

import pytest

from edgedistill.distill.engine import memory

# The file by itself: the engine's other imports take longer than all that is measured.
FAULTS = """
import resource
import runpy
import sys
import torch
keep_freed_memory = runpy.run_path(sys.argv[1])["keep_freed_memory"]
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for megabytes in (48, 3, 96):
        torch.zeros(megabytes << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
step()
given_back = sum(step() for _ in range(3))
if not keep_freed_memory():
    print("none")
    raise SystemExit
step(), step()  # a heap that began small grows to its layout
print(given_back, sum(step() for _ in range(3)))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is Linux's")
def test_large_blocks_are_taken_again_without_page_faults():
    command = [sys.executable, "-c", FAULTS, memory.__file__]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if found == ["none"]:
        pytest.skip("no glibc here")
    given_back, kept = map(int, found)
    assert kept < 100
    assert given_back > 1000  # else the C library has learned it, and ours can go
