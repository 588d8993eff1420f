"""PyTorch's threads keep to their cores while they compute, and nothing else of the process does."""

import json
import os
import subprocess
import sys

import pytest

from edgedistill.distill.cores import on_its_core

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two cores"
)
REPORT = """
import json, os, subprocess, sys, threading
from edgedistill.distill.cores import bind_threads, on_its_core
before = os.environ.copy()
bound, again = bind_threads(), bind_threads()
import torch
usable = lambda task="self": sorted(os.sched_getaffinity(0 if task == "self" else int(task)))
with on_its_core():
    within = usable()
    torch.ones(1 << 20).mul_(2)
threads = [usable(task) for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]
started = []
thread = threading.Thread(target=lambda: started.append(usable()))
thread.start(); thread.join()
child = subprocess.run([sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"], capture_output=True)
print(json.dumps({"bound": bound, "again": again, "within": within, "threads": threads, "after": usable(),
    "started": started[0], "child": int(child.stdout), "same environment": dict(os.environ) == dict(before)}))
"""


def report(**environment: str) -> dict:
    without = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    found = subprocess.run(
        [sys.executable, "-c", REPORT], env=without | environment, capture_output=True, text=True, check=True
    )
    return json.loads(found.stdout)


def test_threads_are_bound_and_what_the_process_starts_is_free():
    cores = sorted(os.sched_getaffinity(0))
    found = report()
    assert found["bound"]
    assert not found["again"]  # torch is there already
    assert 0 < len(found["within"]) < len(cores)
    workers = [core for core in found["threads"] if len(core) < len(cores)]
    assert workers
    assert found["within"] not in workers  # each on another core
    assert found["after"] == found["started"] == cores
    assert found["child"] == len(cores)
    assert found["same environment"]


@pytest.mark.parametrize("setting", [{"OMP_NUM_THREADS": "1"}, {"OMP_PROC_BIND": "false"}])
def test_a_share_of_the_cores_and_the_users_own_setting_are_left_alone(setting, monkeypatch):
    from edgedistill.distill import cores

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in ("OMP_NUM_THREADS", *cores._OF_OPENMP):
        monkeypatch.delenv(name, raising=False)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    assert not cores.bind_threads()
    assert "torch" not in sys.modules


def test_unbound_threads_stay_where_they_may():
    cores = os.sched_getaffinity(0)
    with on_its_core():
        assert os.sched_getaffinity(0) == cores
