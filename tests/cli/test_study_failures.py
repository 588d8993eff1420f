"""What stops a cell of a study: Ctrl-C, a fault, a crash, another process; it costs that cell alone."""

import json
import os
import signal
import sys
import threading
import time

import pytest
from study_cases import CHILD, SMALL, cells, pretend, results

from edgedistill.distill.study import Store, load_study
from edgedistill.runtime.errors import DataError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_ctrl_c_saves_and_the_same_command_goes_on(where, ran, command, tmp_path):
    arguments = ("study", where / "study.yaml", "train.epochs=40", f"output={tmp_path}", "--only", "small/vanilla/3")

    def interrupt() -> None:
        while not list(tmp_path.rglob("last.ckpt")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    code, out, err = command(*arguments)
    assert (code, out) == (130, "")
    assert "The same command continues" in err
    (folder,) = tmp_path.glob("study/small/vanilla-seed3-*/student")
    assert not json.loads((folder / "summary.json").read_text())["finished"]
    assert {cell["status"] for cell in cells(tmp_path / "study.study.json").values()} == {"not run"}


def test_a_failed_cell_is_recorded_and_the_others_go_on(where, ran, command, monkeypatch, tmp_path):
    order: list[str] = []
    trouble = {"teacher/3": DataError("a.jpg: gone."), "small/strong/4": RuntimeError("a bug\nof ours")}
    store = Store(load_study(where / "study.yaml"), ran, "")
    monkeypatch.setattr("edgedistill.distill.study.run.run_cell", pretend(store, results(ran), trouble, order))
    arguments = ("study", where / "study.yaml", f"output={tmp_path}", "--only", "small/*")
    code, out, err = command(*arguments)
    assert code == 1
    assert order == ["teacher/3", "small/vanilla/3", "teacher/4", "small/vanilla/4", "small/strong/4"]
    found = cells(tmp_path / "study.study.json")
    assert {name: cell["reason"] for name, cell in found.items() if cell["status"] == "failed"} == {
        "teacher/3": "a.jpg: gone.",
        "small/strong/3": "teacher/3: a.jpg: gone.",
        "small/strong/4": "RuntimeError: a bug",
    }
    assert "of ours" in err, "the traceback of what is no user's mistake"
    assert err.splitlines()[-1].startswith("error: teacher/3: a.jpg: gone. (2 more failed")
    assert "failed   small/strong/4: RuntimeError: a bug" in out
    trouble.clear()
    order.clear()
    assert command(*arguments)[0] == 0
    assert order == ["teacher/3", "small/strong/3", "small/strong/4"], "failures alone are tried again"
    assert {cell["status"] for name, cell in cells(tmp_path / "study.study.json").items() if "large" not in name} == {
        "done"
    }


def test_a_teacher_that_fails_when_trained_again_keeps_its_result(where, ran, command, monkeypatch, tmp_path):
    content = json.loads(ran.read_text())
    for cell in content["cells"]:
        if (cell["student"], cell["method"], cell["seed"]) == ("small", "strong", 4):
            cell |= {"status": "not run", "result": None}
    record = tmp_path / "record.json"
    record.write_text(json.dumps(content))
    store = Store(load_study(where / "study.yaml"), ran, "")
    run = pretend(store, results(ran), {"teacher/4": DataError("a.jpg: gone.")}, [])
    monkeypatch.setattr("edgedistill.distill.study.run.run_cell", run)
    code, _, err = command(
        "study", where / "study.yaml", f"output={tmp_path}", "--only", "small/*", "--results", record
    )
    assert code == 1
    assert err.splitlines()[-1].startswith("error: teacher/4: a.jpg: gone. (1 more failed")
    assert results(record) == {name: one for name, one in results(ran).items() if name != "small/strong/4"}
    assert cells(record)["small/strong/4"]["reason"] == "teacher/4: a.jpg: gone."


def test_a_cell_that_another_process_runs_is_left_to_it(where, ran, command, monkeypatch, tmp_path):
    study = load_study(where / "study.yaml", [f"output={tmp_path}"])
    order: list[str] = []
    run = pretend(Store(study, ran, ""), results(ran), {}, order)
    monkeypatch.setattr("edgedistill.distill.study.run.run_cell", run)
    monkeypatch.setattr("edgedistill.distill.study.run._POLL_SECONDS", 0.02)
    (held,) = [cell for cell in study.cells if cell.name == "small/vanilla/3"]
    elsewhere = Store(study, tmp_path / "study.study.json", "")
    lock = elsewhere.lock(held)
    lock.acquire()

    def the_other() -> None:
        while "small/vanilla/4" not in order:
            time.sleep(0.01)
        elsewhere.finish(held, run(held, None))
        lock.release()

    other = threading.Thread(target=the_other)
    other.start()
    code, _, err = command("study", where / "study.yaml", f"output={tmp_path}", "--only", "small/vanilla/*")
    other.join()
    assert code == 0, err
    assert order == ["small/vanilla/4", "small/vanilla/3"], "once each, and the free one first"


def test_side_by_side_a_student_waits_for_its_teacher_and_a_crash_costs_one_cell(
    where, ran, command, monkeypatch, tmp_path
):
    """The processes are stand-ins: one is killed, one fails, one ends without a result, the others take a result."""
    child = tmp_path / "child"
    child.write_text(CHILD.format(python=sys.executable, out=str(tmp_path), ran=str(ran), runs=str(where / "runs")))
    child.chmod(0o755)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("edgedistill.distill.study.parallel.sys.executable", str(child))
    record = tmp_path / "record.json"
    content = json.loads(ran.read_text())
    record.write_text(json.dumps(content | {"cells": [], "superseded": []}))
    arguments = ("study", where / "study.yaml", f"output={tmp_path}", "--results", record, "--only", "small/*")
    code, _, err = command(*arguments, "--jobs", "2")
    assert code == 1, err
    reasons = {name: cell["reason"] for name, cell in cells(record).items() if cell["status"] == "failed"}
    assert reasons == {
        "small/vanilla/3": "was ended by signal 9.",
        "teacher/4": "a.jpg: gone.",
        "small/strong/4": "teacher/4: a.jpg: gone.",
        "small/vanilla/4": "its process ended without a result",
    }
    assert set(results(record)) == {"teacher/3", "small/strong/3"}
    order = (tmp_path / "order").read_text().splitlines()
    started = [line.removesuffix(" started") for line in order if line.endswith("started")]
    assert sorted(started) == sorted(set(SMALL) - {"small/strong/4"})
    assert order.index("teacher/3 done") < order.index("small/strong/3 started")
    assert set(order[:2]) == {"teacher/3 started", "small/vanilla/3 started"}, "what needs no teacher goes ahead"
