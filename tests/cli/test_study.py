"""`study` as a user runs it: what is finished is kept, in folders or the record alone; a failure costs one cell."""

import contextlib
import json
import math
import os
import shutil
import signal
import statistics
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from study_cases import CHILD, cells, checkpoints, pretend, results

from edgedistill.distill.study import Store, load_study
from edgedistill.distill.study.on_ray import run_cells_on_ray, share_of
from edgedistill.distill.study.queue import Queue
from edgedistill.runtime.errors import DataError, EdgedistillError

NETWORK = {"name": "timm/test_efficientnet"}
STUDY = """
recipe: recipe.yaml
students:
  small:
  large: {student.model.name: timm/test_resnet}
methods:
  vanilla:
  strong: {method: {name: mld, lambda_mld: 5}}
seeds: [3, 4]
baseline: vanilla
"""
SMALL = ("teacher/3", "small/vanilla/3", "small/strong/3", "teacher/4", "small/vanilla/4", "small/strong/4")


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    """Trainings are repeated to the bit."""


@pytest.fixture(scope="module")
def where(tmp_path_factory, tinted_photographs) -> Path:
    """A folder with images, recipe.yaml and study.yaml."""
    folder = tmp_path_factory.mktemp("study")
    tinted_photographs(folder, size=(32, 32), noise=200, tint=50)
    content = {
        "output": str(folder / "runs"),
        "data": {
            "train": {"format": "csv", "path": "train.csv"},
            "test": {"format": "csv", "path": "test.csv"},
            "validation": 0.25,
        },
        "input": {"size": 32},
        "teacher": {
            "model": {**NETWORK, "branches": ["calibration"]},
            "train": {"epochs": 1, "batch_size": 12, "workers": 0},
            "accept": True,
        },
        "student": {"model": NETWORK, "train": {"epochs": 1, "batch_size": 12, "workers": 0}},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    (folder / "study.yaml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def ran(where, one_thread, command) -> Path:
    """The record after the small student's cells: the first in a process of its own, the others in this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        for arguments in (["--only", "small/vanilla/3", "--jobs", "2"], ["--only", "small/*"]):
            code, _, err = command("study", where / "study.yaml", *arguments)
            assert code == 0, err
    return where / "runs" / "study.study.json"


def test_every_cell_is_an_ordinary_run_and_the_rest_is_listed_as_not_run(where, ran, command):
    found = cells(ran)
    assert [name for name in found if "large" not in name] == list(SMALL)
    assert list(found)[:5] == ["teacher/3", "small/vanilla/3", "small/strong/3", "large/vanilla/3", "large/strong/3"]
    assert {name for name, cell in found.items() if cell["status"] == "not run"} == {
        f"large/{method}/{seed}" for method in ("vanilla", "strong") for seed in (3, 4)
    }
    done = results(ran)
    for seed in (3, 4):
        assert done[f"small/strong/{seed}"]["teacher_sha256"] == done[f"teacher/{seed}"]["weights_sha256"]
        assert done[f"small/vanilla/{seed}"]["teacher_sha256"] is None
    assert done["small/strong/3"]["method"]["lambda_mld"] == 5
    (student,) = (where / "runs" / "study" / "small").glob("strong-seed3-*/student/student.safetensors")
    code, out, err = command("evaluate", where / "recipe.yaml", "--student", student, "--json")
    assert code == 0, err
    assert json.loads(out)["mAP"] == done["small/strong/3"]["test_mAP"]
    summary = json.loads((student.parent / "summary.json").read_text())
    assert summary["best"]["val_mAP"] == pytest.approx(done["small/strong/3"]["validation_mAP"])
    machine = json.loads(ran.read_text())["machines"][done["small/strong/3"]["machine"]]
    assert machine["cores"] >= 1
    assert "torch" in machine["libraries"]


def test_rows_are_mean_deviation_and_paired_gain(ran):
    record, done = json.loads(ran.read_text()), results(ran)
    rows = {(row["student"], row["method"]): row for row in record["rows"]}
    vanilla, strong = ([done[f"small/{name}/{seed}"]["test_mAP"] for seed in (3, 4)] for name in ("vanilla", "strong"))
    found = rows["small", "strong"]
    assert found["test_mAP"]["mean"] == pytest.approx(statistics.fmean(strong))
    assert found["test_mAP"]["deviation"] == pytest.approx(statistics.stdev(strong))
    differences = [taught - alone for taught, alone in zip(strong, vanilla, strict=True)]
    half = 12.706205 * statistics.stdev(differences) / math.sqrt(2)  # t(0.975, 1)
    middle = statistics.fmean(differences)
    interval = found["gain"]["interval"]
    assert (interval["low"], interval["high"]) == pytest.approx((middle - half, middle + half), rel=1e-6)
    assert rows["small", "vanilla"]["gain"] is None
    assert rows["teacher", ""]["gain"] is None
    assert rows["large", "strong"] == {
        "student": "large", "method": "strong", "planned": 2, "seeds": [], "failed": 0, "test_mAP": None, "gain": None,
        "gain_seeds": [], "validation": None, "other_tests": {},
    }  # fmt: skip


def test_the_test_split_stays_unread_until_it_is_asked_for(where, ran, command, monkeypatch, tmp_path):
    """The queue reads no test image; `--test` scores what it trained, to the digit as a cell does at its end."""
    content = yaml.safe_load(STUDY) | {"score_test": "when_asked", "other_tests": {"again": {"format": "csv"}}}
    content["other_tests"]["again"]["path"] = "test.csv"
    (where / "unread.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    record = tmp_path / "record.json"
    arguments = ("study", where / "unread.yaml", f"output={tmp_path}", "--results", record)
    with monkeypatch.context() as patch:
        patch.setattr("edgedistill.distill.study.run.score", None)
        code, out, err = command(*arguments, "--only", "small/*/3")
    assert code == 0, err
    assert "the test split is not read" in err
    assert "validation mAP, the test split being unread" in " ".join(out.split())
    unread = results(record)
    assert {(one["test_mAP"], one["test_scored"]) for one in unread.values()} == {(None, False)}
    code, _, err = command(*arguments, "--test")
    assert code == 2
    assert "--test: 7 of 10 cells are not done (large/vanilla/3, large/strong/3, teacher/4, ...)" in err
    code, out, err = command(*arguments, "--test", "--only", "small/*/3", "--only", "teacher/3")
    assert code == 0, err
    expected, scored = results(ran), results(record)
    assert set(scored) == {"teacher/3", "small/vanilla/3", "small/strong/3"}
    for name, one in scored.items():
        assert one["test_mAP"] == expected[name]["test_mAP"], name
        assert one["other_tests"] == {"again": one["test_mAP"]}
        assert one["validation_mAP"] == unread[name]["validation_mAP"]
    assert "test mAP" in out
    assert "again mAP" in out
    rows = {row["method"]: row for row in json.loads(record.read_text())["rows"] if row["student"] == "small"}
    assert rows["strong"]["other_tests"]["again"]["gain"] == rows["strong"]["gain"]
    before = record.read_bytes()
    assert command(*arguments, "--test", "--only", "small/*/3")[0] == 0
    assert record.read_bytes() == before, "what is scored is not read again"
    content = json.loads(before)
    for cell in content["cells"]:
        if cell["result"]:
            cell["result"] |= {"test_scored": False}
    record.write_text(json.dumps(content))
    (weights,) = tmp_path.glob("unread/small/vanilla-seed3-*/student/student.safetensors")
    weights.unlink()
    code, _, err = command(*arguments, "--test", "--only", "small/vanilla/3")
    assert code == 2
    assert f"error: small/vanilla/3: its weights are not here ({weights}), only its result is" in err


def test_finished_folders_are_loaded_into_a_new_record(where, ran, command, tmp_path):
    before = checkpoints(where / "runs")
    assert len(before) == 6
    fresh = tmp_path / "fresh.json"
    code, _, err = command("study", where / "study.yaml", "--only", "small/*", "--results", fresh)
    assert code == 0, err
    assert results(fresh) == {name: one for name, one in results(ran).items() if name.startswith("small")}
    code, _, err = command("study", where / "study.yaml", "--only", "teacher/*", "--results", fresh)
    assert code == 0, err
    assert results(fresh) == results(ran)
    assert checkpoints(where / "runs") == before


def test_the_record_alone_is_enough_to_go_on_elsewhere(where, ran, command, tmp_path):
    """What is recorded is not run again; a cell that is left trains its teacher again, which has no folder here."""
    content = json.loads(ran.read_text())
    (left,) = [cell for cell in content["cells"] if (cell["method"], cell["seed"]) == ("strong", 4)][:1]
    expected = dict(left["result"])
    left |= {"status": "not run", "result": None}
    carried = tmp_path / "carried.json"
    carried.write_text(json.dumps(content))
    arguments = ("study", where / "study.yaml", f"output={tmp_path / 'elsewhere'}", "--only", "small/*")
    code, _, err = command(*arguments, "--results", carried)
    assert code == 0, err
    trained = {path.parent.name for path in checkpoints(tmp_path / "elsewhere")}
    assert trained == {"teacher", "student"}
    assert len(checkpoints(tmp_path / "elsewhere")) == 2
    changing = {"seconds": None, "finished": None}
    again, before = results(carried), results(ran)
    assert again["small/strong/4"] | changing == expected | changing
    assert {name: one for name, one in again.items() if not name.endswith("4")} == {
        name: one for name, one in before.items() if not name.endswith("4")
    }


def test_other_settings_are_other_cells_and_nothing_is_lost(where, ran, command, tmp_path):
    record = tmp_path / "record.json"
    shutil.copy(ran, record)
    arguments = ("study", where / "study.yaml", "--results", record)
    code, out, _ = command(*arguments, "train.lr=0.01", "--table")
    assert code == 0
    assert "2 of 10 cells done" in out, "the teachers, which the student's rate does not change"
    code, _, err = command(*arguments, "train.lr=0.01", "--only", "small/vanilla/3")
    assert code == 0, err
    assert set(results(record)) == {"teacher/3", "teacher/4", "small/vanilla/3"}
    assert len(json.loads(record.read_text())["superseded"]) == 4
    code, out, _ = command(*arguments, "--table")
    assert "6 of 10 cells done" in out
    assert command(*arguments, "--only", "small/*", "--json")[0] == 0
    assert results(record) == results(ran)


def test_what_does_not_decide_a_result_does_not_change_its_identity(where, tmp_path):
    def identities(*arguments):
        return [cell.identity for cell in load_study(where / "study.yaml", arguments).cells]

    base = identities()
    assert len(set(base)) == len(base)
    assert identities(f"output={tmp_path}", "name=x", "train.workers=2", "train.schedule=onecycle") == base
    changed = identities("teacher.train.lr=0.5")
    taught = [cell.teacher is not None or cell.is_teacher for cell in load_study(where / "study.yaml").cells]
    assert [new != old for new, old in zip(changed, base, strict=True)] == taught
    assert not set(identities("input.size=48")) & set(base)


def test_a_default_that_the_code_changed_makes_a_new_cell(where, ran, tmp_path):
    content = json.loads(ran.read_text())
    for cell in content["cells"]:
        if cell["method"] == "strong" and cell["result"]:
            cell["result"]["method"]["supervised"] = "asl"
        elif cell["result"]:
            cell["result"]["method"].pop("reduction")  # an option that did not exist then
    record = tmp_path / "record.json"
    record.write_text(json.dumps(content))
    found = Store(load_study(where / "study.yaml"), record, "").read()
    assert {cell.name for cell in found.cells if cell.status == "done"} == {
        name for name in SMALL if "strong" not in name
    }


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


@pytest.mark.parametrize(
    ("changed", "seed", "digests"),
    [("test", 3, True), ("train", 3, True), ("test", 4, True), ("train", 4, True), ("test", 4, False)],
)
def test_data_that_changed_fails_before_it_is_trained_on(where, ran, command, tmp_path, changed, seed, digests):
    """Under another seed than that of the results too; a record from before the digests has the number of tests."""
    folder = tmp_path / "data"
    shutil.copytree(where, folder, ignore=shutil.ignore_patterns("runs"))
    lines = (folder / f"{changed}.csv").read_text().splitlines()
    (folder / f"{changed}.csv").write_text("\n".join(lines[:-1]))
    content = json.loads(ran.read_text())
    for cell in content["cells"]:
        if (cell["seed"] == 4 and seed == 4) or (cell["seed"] == 3 and cell["method"] == "vanilla" and seed == 3):
            cell |= {"status": "not run", "result": None}
        elif cell["result"] and not digests:
            del cell["result"]["training_sha256"], cell["result"]["test_sha256"]
    record = tmp_path / "record.json"
    record.write_text(json.dumps(content))
    arguments = ("study", folder / "study.yaml", f"output={tmp_path}", "--results", record)
    code, _, err = command(*arguments, "--only", f"small/vanilla/{seed}")
    assert code == 1
    part = "test split" if changed == "test" else "training data"
    assert f"error: small/vanilla/{seed}: the {part} has other images, labels or classes" in err
    assert "the record's result of teacher/3" in err
    assert not checkpoints(tmp_path)


def test_a_folder_with_a_result_on_other_data_is_run_again(where, ran, command, monkeypatch, tmp_path):
    shutil.copytree(where / "runs" / "study", tmp_path / "study")
    (path,) = tmp_path.glob("study/small/vanilla-seed4-*/result.json")
    content = json.loads(path.read_text())
    content["result"]["test_sha256"] = "of another test split"
    path.write_text(json.dumps(content))
    order: list[str] = []
    store = Store(load_study(where / "study.yaml"), ran, "")
    monkeypatch.setattr("edgedistill.distill.study.run.run_cell", pretend(store, results(ran), {}, order))
    code, _, err = command("study", where / "study.yaml", f"output={tmp_path}", "--only", "small/*")
    assert code == 0, err
    assert order == ["small/vanilla/4"]


@pytest.fixture(scope="module")
def local_ray():
    """Ray with two cores of this machine, for all tests of the file: it takes seconds to start."""
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        own = {"num_cpus": 2, "object_store_memory": 80 << 20, "include_dashboard": False}
        ray.init(address="local", logging_level="warning", **own)
    yield ray
    ray.shutdown()


def worker_of(cell: str) -> int | None:
    """The process in which Ray runs a cell, which is named after it."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(f"ray::{cell}".encode()):
                return int(process.name)
    return None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds Ray's workers in /proc")
def test_on_ray_a_lost_worker_is_replaced_and_the_results_are_the_same(where, ran, command, local_ray, tmp_path):
    killed = []

    def kill_one() -> None:
        while not list(tmp_path.glob("study/small/vanilla-seed3-*/student/environment.json")):
            time.sleep(0.002)
        killed.append(worker_of("small/vanilla/3"))
        os.kill(killed[0], signal.SIGKILL)
        killed.append(list(tmp_path.glob("study/small/vanilla-seed3-*/result.json")))

    threading.Thread(target=kill_one, daemon=True).start()
    cells_of_3 = ("--only", "small/*/3", "--on", "ray", "--jobs", "2")
    code, out, err = command("study", where / "study.yaml", f"output={tmp_path}", *cells_of_3)
    assert code == 0, err
    assert killed[1] == [], "it was in the middle of its training"
    assert "a cell gets cores: 1" in err
    changing = {"seconds": None, "finished": None}
    found, expected = results(tmp_path / "study.study.json"), results(ran)
    assert set(found) == {"teacher/3", "small/vanilla/3", "small/strong/3"}
    assert all(one | changing == expected[name] | changing for name, one in found.items())
    assert "3 of 10 cells done" in out
    assert not list(tmp_path.rglob(".ray-*"))


@pytest.mark.slow
def test_on_ray_ctrl_c_saves_and_the_same_command_goes_on(where, command, local_ray, tmp_path):
    arguments = ("study", where / "study.yaml", "train.epochs=400", f"output={tmp_path}", "--only", "small/vanilla/3")

    def interrupt() -> None:
        while not list(tmp_path.rglob("last.ckpt")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    code, out, err = command(*arguments, "--on", "ray")
    assert (code, out) == (130, "")
    assert "The same command continues" in err
    (folder,) = tmp_path.glob("study/small/vanilla-seed3-*/student")
    assert not json.loads((folder / "summary.json").read_text())["finished"]
    assert cells(tmp_path / "study.study.json")["small/vanilla/3"]["status"] == "not run"


@pytest.mark.slow
def test_on_ray_machines_that_do_not_share_the_folder_are_told(where, command, local_ray, monkeypatch, tmp_path):
    monkeypatch.setattr("edgedistill.distill.study.ray_worker._PATIENCE", 0.0)
    monkeypatch.setattr(Path, "touch", lambda *_: None)
    arguments = ("study", where / "study.yaml", f"output={tmp_path}", "--only", "small/vanilla/3", "--on", "ray")
    code, _, err = command(*arguments)
    assert code == 2
    assert f"does not see {tmp_path}" in err.splitlines()[-1]
    assert "must be on a disk that all share" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("on", "said"),
    [("slurm", "--on slurm: cells run on `ray`"), ("ray:", "or on `ray:ADDRESS`"), ("ray", "edgedistill[ray]")],
)
def test_where_cells_cannot_run_is_told_before_anything_is_read(where, command, monkeypatch, on, said):
    monkeypatch.setattr("edgedistill.cli.extras.find_spec", lambda name: None if name == "ray" else name)
    code, _, err = command("study", where / "study.yaml", "--on", on)
    assert code in (2, 3)
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("machines", "jobs", "share"),
    [
        ([{"CPU": 8}], None, (8, 0)),
        ([{"CPU": 8}, {"CPU": 4}], 2, (2, 0)),
        ([{"CPU": 2}], 5, (1, 0)),
        ([{"CPU": 0, "node": 1}, {"CPU": 32, "GPU": 4}, {"CPU": 64}], None, (8, 1)),
        ([{"CPU": 32, "GPU": 1}], 2, (16, 0.5)),
        ([{"CPU": 24, "GPU": 4}], 6, (4, 0.5)),
        ([{"CPU": 16, "GPU": 2}], 1, (16, 1)),
    ],
)
def test_a_cell_on_ray_gets_its_part_of_the_smallest_machine(machines, jobs, share):
    assert share_of(machines, jobs) == share


def test_a_cluster_that_does_not_answer_is_told(where, tmp_path):
    study = load_study(where / "study.yaml", [f"output={tmp_path}"])
    queue = Queue(Store(study, tmp_path / "study.study.json", ""), study.cells)
    for address in ("127.0.0.1:9", "127.0.0.1:x"):
        with pytest.raises(EdgedistillError, match=f"no Ray answers at {address}"):
            run_cells_on_ray(queue, address, None, Console(quiet=True))
