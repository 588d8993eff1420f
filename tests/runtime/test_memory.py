import subprocess
import sys

import pytest

from edgedistill import runtime

FREED_AMID_WHAT_STAYS = """
from edgedistill.runtime.memory import return_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def filled():
    return bytearray(b"x") * 100_000  # from the heap: larger blocks go back by themselves

blocks = [filled() for _ in range(400)]
stays = [filled()]
del blocks
before = resident()
return_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc keeps what was freed; other C libraries are not asked")
def test_what_was_freed_between_blocks_that_stay_goes_back_to_the_system():
    done = subprocess.run(
        [sys.executable, "-c", FREED_AMID_WHAT_STAYS], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) > 35e6


def test_loading_ends_with_it(tiny_bundle, monkeypatch):
    calls = []
    monkeypatch.setattr("edgedistill.runtime.backends.base.return_freed_memory", lambda: calls.append("returned"))
    with runtime.load(tiny_bundle, backend="onnxruntime"):
        assert calls == ["returned"]
