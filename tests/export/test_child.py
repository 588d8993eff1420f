"""Whatever an exporter does to its process, the export gets one line and goes on."""

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from edgedistill.export.child import run_in_child
from edgedistill.export.errors import ExportError

from . import child_jobs as jobs

HERE = Path(sys.executable)


def run_alone(function, *arguments, **options):
    return run_in_child(function, *arguments, what="the tool failed", python=HERE, **options)


def test_a_child_loads_no_more_than_its_function_does(tmp_path, capfd):
    arrived, loaded = run_alone(jobs.modules, tmp_path, [1, "é"], None)
    assert arrived == [str(tmp_path), [1, "é"], None]
    assert loaded == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (jobs.raise_error, "the tool failed: the graph has a hole"),
        (jobs.leave, "the tool failed: its process ended with status 7: fatal: out of licences."),
        (jobs.segfault, "the tool failed: its process crashed with SIGSEGV: loading plug-in 3 of 4."),
    ],
)
def test_how_it_ended_is_one_line(function, message):
    with pytest.raises(ExportError) as raised:
        run_alone(function)
    assert str(raised.value) == message


@pytest.mark.parametrize("end", ["return", "crash", "time"])
def test_temporary_files_go_with_it_however_it_ends(tmp_path, monkeypatch, end):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with nullcontext() if end == "return" else pytest.raises(ExportError):
        made = Path(run_alone(jobs.forget_a_folder, end, timeout_s=2))
        assert tmp_path in made.parents
    assert list(tmp_path.iterdir()) == []


def test_what_it_says_is_heard_to_the_last_line():
    said = []
    assert run_alone(jobs.count, 3, say=said.append) == 3
    assert said == ["1 of 3", "2 of 3", "3 of 3"]
    with pytest.raises(ExportError, match="it took more than 0.5 s and was stopped"):
        run_alone(jobs.say_and_sleep, say=said.append, timeout_s=0.5)
    assert said[-1] == "asleep"


def test_an_interpreter_that_is_gone_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"the tool failed: .*/python cannot be started \(No such file"):
        run_in_child(jobs.leave, what="the tool failed", python=tmp_path / "python")


def test_a_tool_that_reads_from_the_terminal_gets_nothing():
    assert run_alone(jobs.stdin_is_empty) == ""


def test_one_that_takes_too_long_is_ended_with_its_own_children(tmp_path):
    with pytest.raises(ExportError, match=r"the tool failed: it took more than 2 s and was stopped\."):
        run_alone(jobs.sleep_with_a_child, tmp_path / "pids", timeout_s=2)
    assert_gone(tmp_path / "pids")


def test_what_it_started_ends_with_it_however_it_ends(tmp_path):
    with pytest.raises(ExportError, match="crashed with SIGSEGV"):
        run_alone(jobs.crash_with_a_child, tmp_path / "crashed")
    assert run_alone(jobs.start_a_child, tmp_path / "returned") is None
    assert_gone(tmp_path / "crashed")
    assert_gone(tmp_path / "returned")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_its_parent_however_that_ends(tmp_path, sign):
    script = (
        "import sys; from tests.export import child_jobs as jobs; from edgedistill.export.child import run_in_child;"
        "from pathlib import Path;"
        "run_in_child(jobs.sleep_with_a_child, sys.argv[1], what='x', python=Path(sys.executable))"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "pids"], cwd=root, stderr=subprocess.PIPE, text=True
    )
    wait_for((tmp_path / "pids").exists)
    parent.send_signal(sign)
    parent.communicate(timeout=20)
    assert_gone(tmp_path / "pids")


def test_errors_of_ours_keep_their_sentence(tmp_path):
    """In this environment the function's package is there, and its errors are the user's already."""
    from edgedistill.runtime.targets import load_target

    with pytest.raises(ExportError, match=r"^unknown target 'nope'"):
        run_in_child(load_target, "nope", what="never said")


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def assert_gone(pids):
    for pid in map(int, pids.read_text().split()):
        wait_for(lambda pid=pid: not is_running(pid))


def is_running(pid):
    """Not ended, or ended and not yet waited for (a zombie)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
