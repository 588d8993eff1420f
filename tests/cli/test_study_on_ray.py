"""`study --on ray`: cells as Ray's tasks, each with its part of a machine."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny_network
from rich.console import Console
from study_cases import cells, results

from edgedistill.distill.study import Store, load_study
from edgedistill.distill.study.on_ray import run_cells_on_ray, share_of
from edgedistill.distill.study.queue import Queue
from edgedistill.runtime.errors import EdgedistillError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def local_ray():
    """Ray with two cores of this machine, for all tests of the file: it takes seconds to start."""
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("EDGEDISTILL_PLUGINS", tiny_network.__name__)  # its workers build the study's networks
        patch.setenv("PYTHONPATH", str(Path(tiny_network.__file__).parent), prepend=os.pathsep)
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
    assert {name: one | changing for name, one in found.items()} == {name: expected[name] | changing for name in found}
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
