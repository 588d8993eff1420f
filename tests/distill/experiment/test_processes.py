"""Sub-tasks side by side in processes: at most N at once, one failure told, signals passed on."""

import os
import signal
import sys
import threading
import time

import pytest
import torch
from rich.console import Console

from edgedistill.distill.data.free_memory import JOBS, processes_here
from edgedistill.distill.experiment.processes import Command, run_side_by_side, share_machine
from edgedistill.runtime.errors import (
    EdgedistillError,
    InterruptedRunError,
)

QUIET = Console(quiet=True)


def script(text: str) -> list[str]:
    return [sys.executable, "-c", "import os, signal, sys, time\n" + text]


# As a training does: the signal ends it after its step, with its own code.
PATIENT = """
signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1], "w").close(), sys.exit(130)))
open(sys.argv[1] + "-started", "w").close()
time.sleep(60)
"""


def test_as_many_run_at_once_as_there_are_environments(tmp_path):
    text = """
folder = os.environ["FOLDER"]
open(f"{folder}/{os.getpid()}", "w").close()
open(f"{folder}/{os.environ['SLOT']}-{os.getpid()}-{len([n for n in os.listdir(folder) if n.isdigit()])}", "w").close()
time.sleep(0.2)
os.unlink(f"{folder}/{os.getpid()}")
"""
    environments = [{"FOLDER": str(tmp_path), "SLOT": f"slot{slot}"} for slot in range(2)]
    run_side_by_side([Command(f"task {n}", script(text)) for n in range(5)], environments, QUIET)
    names = [path.name.split("-") for path in tmp_path.iterdir()]
    assert len(names) == 5
    assert {slot for slot, _, _ in names} == {"slot0", "slot1"}
    assert {running for _, _, running in names} == {"1", "2"}


def test_the_first_failure_is_told_and_the_others_are_asked_to_stop(tmp_path):
    mark, never = tmp_path / "stopped", tmp_path / "never"
    failing = f"""
while not os.path.exists({str(mark)!r} + "-started"): time.sleep(0.01)
print("reading", file=sys.stderr)
print("error: train.csv: no such file.", file=sys.stderr)
sys.exit(2)
"""
    commands = [
        Command("task 0 (co-0)", [*script(PATIENT), str(mark)]),
        Command("task 1 (co-1)", script(failing)),
        Command("task 2 (dis-0)", script(f"open({str(never)!r}, 'w')")),
    ]
    console = Console(record=True, file=open(os.devnull, "w"), width=160)  # noqa: PTH123, SIM115
    with pytest.raises(EdgedistillError) as told:
        run_side_by_side(commands, [dict(os.environ)] * 2, console)
    assert str(told.value) == "task 1 (co-1): train.csv: no such file."
    assert "reading" in console.export_text()
    assert mark.exists(), "it had the time to save"
    assert not never.exists()


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", EdgedistillError, "task 0: was ended by signal 9."),
        ("sys.exit(7)", EdgedistillError, "task 0: exit code 7."),
        (
            "print('error: task 0: stopped after step 3', file=sys.stderr); sys.exit(130)",
            InterruptedRunError,
            "task 0: st",
        ),
    ],
)
def test_an_end_without_a_reason_is_told_too(text, kind, told):
    with pytest.raises(EdgedistillError) as raised:
        run_side_by_side([Command("task 0", script(text))], [dict(os.environ)], QUIET)
    assert type(raised.value) is kind
    assert str(raised.value).startswith(told)


def test_a_terminals_ctrl_c_reaches_them_once():
    """It goes to the whole session of the terminal, and twice would stop a training at once."""
    console = Console(record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    text = "print('session', os.getsid(0), file=sys.stderr)"
    run_side_by_side([Command("task 0", script(text))], [dict(os.environ)], console)
    assert int(console.export_text().split()[1]) != os.getsid(0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_every_process_saves(tmp_path, number):
    marks = [tmp_path / "a", tmp_path / "b"]
    commands = [Command(f"task {mark.name}", [*script(PATIENT), str(mark)]) for mark in marks]

    def interrupt() -> None:
        while not all(mark.with_name(f"{mark.name}-started").exists() for mark in marks):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(InterruptedRunError, match="The same command continues") as stopped:
        run_side_by_side(commands, [dict(os.environ)] * 2, QUIET)
    assert stopped.value.exit_code == 130
    assert all(mark.exists() for mark in marks)


def test_cores_are_divided_and_gpus_dealt_out(monkeypatch):
    monkeypatch.setattr("edgedistill.distill.experiment.processes.usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert [one["OMP_NUM_THREADS"] for one in share_machine(3)] == ["2"] * 3
    assert "CUDA_VISIBLE_DEVICES" not in share_machine(3)[0]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in share_machine(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3,GPU-8")
    assert [one["CUDA_VISIBLE_DEVICES"] for one in share_machine(4)] == ["5", "3", "GPU-8", "5"]
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert share_machine(16)[0]["OMP_NUM_THREADS"] == "6"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert share_machine(16)[0]["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv(JOBS, share_machine(3)[0][JOBS])
    assert processes_here() == 6, "what loads images and keeps them in memory divides too"
