"""Jobs that wait for children: at once, each on its own cores, and ended together."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from edgedistill.export import jobs
from edgedistill.export.child import run_in_child
from edgedistill.export.conversions import Ingredients
from edgedistill.export.errors import ExportError
from edgedistill.export.steps import Steps

from . import child_jobs
from .test_child import assert_gone, wait_for

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs a system that keeps processes to some of two cores",
)
in_child = partial(run_in_child, what="the tool failed", python=Path(sys.executable))


def test_children_run_at_once_and_one_that_begins_beside_another_has_its_share_of_the_cores(tmp_path):
    marks, own = [tmp_path / "a", tmp_path / "b"], os.sched_getaffinity(0)
    both = [partial(in_child, child_jobs.own_cores, *pair) for pair in (marks, marks[::-1])]
    found = jobs.run_jobs(both)
    assert [met for _, met in found] == [True, True]
    less, more = sorted((set(cores) for cores, _ in found), key=len)
    assert less in jobs.shares_of_cores(2)
    assert more == own


def test_a_system_that_refuses_to_keep_a_child_to_some_cores_costs_nothing_else(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    marks = [tmp_path / "a", tmp_path / "b"]
    both = [partial(in_child, child_jobs.own_cores, *pair) for pair in (marks, marks[::-1])]
    assert [met for _, met in jobs.run_jobs(both)] == [True, True]


def test_results_come_in_the_order_of_the_jobs_whoever_ends_first():
    def job(number):
        time.sleep(0.05 * (4 - number % 4))
        return number

    assert jobs.run_jobs([partial(job, number) for number in range(9)]) == list(range(9))
    assert jobs.run_jobs([]) == []


@pytest.mark.parametrize("why", ["one core", "little memory", "no such call"])
def test_where_children_cannot_share_the_cores_one_comes_after_the_other(why, monkeypatch):
    if why == "one core":
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    elif why == "little memory":
        monkeypatch.setattr(jobs, "memory_bytes", lambda: 4 << 30)
    else:
        monkeypatch.delattr(os, "sched_setaffinity")
    assert {*jobs.run_jobs([threading.get_ident] * 3)} == {threading.get_ident()}


@pytest.mark.parametrize(
    ("cores", "most", "shares"),
    [
        ({0, 1}, 4, [{0}, {1}]),
        ({0, 1}, 1, [{0, 1}]),
        ({1, 2, 5, 6, 7}, 2, [{1, 2}, {5, 6, 7}]),
        (set(range(16)), 4, [set(range(at, at + 4)) for at in (0, 4, 8, 12)]),
        ({4}, 4, [{4}]),
    ],
)
def test_cores_are_shared_evenly(cores, most, shares, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert jobs.shares_of_cores(most) == shares


def test_what_one_raises_ends_the_children_of_the_others_and_begins_no_more(tmp_path):
    pids, begun = tmp_path / "pids", []

    def fail():
        wait_for(pids.exists)
        raise OSError("the disk is full")

    sleeps = partial(in_child, child_jobs.sleep_with_a_child, pids)
    started = time.monotonic()
    with pytest.raises(OSError, match="the disk is full"):
        jobs.run_jobs([sleeps, fail, *[partial(begun.append, number) for number in range(50)], sleeps])
    assert time.monotonic() - started < 30
    assert_gone(pids)


def test_a_job_ends_with_its_child_and_no_other_begins(tmp_path):
    """Nor is the end a failure of the artifact that it was at."""
    pids, failed, after = tmp_path / "pids", threading.Event(), []

    def goes_on():
        failed.wait(20)
        time.sleep(0.2)
        for _ in range(3):
            with contextlib.suppress(Exception):
                in_child(child_jobs.sleep_with_a_child, pids)
            after.append("went on")

    def fail():
        failed.set()
        raise KeyError("a defect")

    with pytest.raises(KeyError, match="a defect"):
        jobs.run_jobs([goes_on, fail])
    assert not pids.exists()
    assert after == []


def test_callbacks_are_called_where_the_jobs_are_waited_for():
    called = []
    work = partial(jobs.in_caller, lambda name: called.append((name, threading.get_ident())))
    jobs.run_jobs([partial(work, "a"), partial(work, "b")])
    work("c")
    assert sorted(called) == [(name, threading.get_ident()) for name in "abc"]


def test_what_a_callback_raises_ends_the_jobs(tmp_path):
    pids = tmp_path / "pids"

    def told(_):
        wait_for(pids.exists)
        raise RuntimeError("the window is closed")

    with pytest.raises(RuntimeError, match="the window is closed"):
        jobs.run_jobs([partial(in_child, child_jobs.sleep_with_a_child, pids), partial(jobs.in_caller, told, "a")])
    assert_gone(pids)


def test_ctrl_c_ends_all_children(tmp_path):
    script = (
        "import sys; from functools import partial; from pathlib import Path;"
        "from tests.export import child_jobs; from edgedistill.export.child import run_in_child;"
        "from edgedistill.export.jobs import run_jobs;"
        "run_jobs([partial(run_in_child, child_jobs.sleep_with_a_child, pids, what='x', python=Path(sys.executable))"
        " for pids in sys.argv[1:]])"
    )
    pids = [tmp_path / "a", tmp_path / "b"]
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *pids], cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True
    )
    for path in pids:
        wait_for(path.exists)
    parent.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in parent.communicate(timeout=20)[1]
    for path in pids:
        assert_gone(path)


def test_each_job_tells_of_its_own_step():
    told, together = [], threading.Barrier(2)
    step = Steps(lambda *said: told.append(said), total=3)

    def job(name):
        together.wait(20)
        step(f"convert to {name}")
        together.wait(20)
        step.detail("entropy")

    step("read")
    jobs.run_jobs([partial(job, "a"), partial(job, "b")])
    assert told[0] == (1, 3, "read")
    assert sorted(told[1:3]) in (
        [(2, 3, "convert to a"), (3, 3, "convert to b")],
        [(2, 3, "convert to b"), (3, 3, "convert to a")],
    )
    assert sorted(told[3:]) == [(3, 3, "convert to a: entropy"), (3, 3, "convert to b: entropy")]


@pytest.mark.parametrize("fails", [False, True])
def test_what_several_jobs_need_is_made_once(fails, tmp_path):
    ingredients, made, together = Ingredients(tmp_path, tmp_path, None, "uint8_nhwc", None), [], threading.Barrier(2)

    def make():
        made.append(1)
        time.sleep(0.1)
        if fails:
            raise ExportError("it cannot be traced.")
        return "a file"

    def ask():
        together.wait(20)
        try:
            return ingredients.once("onnx.fp32", make)
        except ExportError as error:
            return str(error)

    first, second = jobs.run_jobs([ask, ask])
    assert first == second == ("it cannot be traced." if fails else "a file")
    assert made == [1]
