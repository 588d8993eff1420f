"""CPSD's sub-tasks: fixed once for every machine, refused where they cannot be learned."""

import json
import shutil
import threading
import time

import numpy as np
import pytest
import yaml
from jobs import CPSD_CLASSES
from rich.console import Console

from edgedistill.distill.engine import World
from edgedistill.distill.experiment.processes import train_tasks
from edgedistill.distill.experiment.splits import Splits
from edgedistill.distill.experiment.sub_tasks import SubTask, fix_tasks
from edgedistill.distill.methods import build_method
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import (
    CheckpointError,
    ConfigError,
    DataError,
)

pytestmark = pytest.mark.usefixtures("one_thread")

QUIET = Console(quiet=True)


def test_without_a_start_nothing_is_written(open_cpsd):
    run = open_cpsd()
    teacher = run.untrained_teacher()
    assert teacher.card.classes == CPSD_CLASSES
    assert len(teacher.model.models) == 4
    assert run.training("student", teacher).teacher.network is teacher.model
    assert not run.folder.exists()


def test_the_sub_tasks_that_were_fixed_hold_for_every_machine(open_cpsd, monkeypatch):
    fixed = [task.classes.tolist() for task in open_cpsd().sub_teachers.tasks]
    assert all(sorted(fixed[i] + fixed[i + 1]) == list(range(6)) for i in (0, 2))
    # Another machine's libraries would cluster in another way.
    other = [np.array([0, 5]), np.array([1, 2, 3, 4])]
    monkeypatch.setattr("edgedistill.distill.methods.cpsd.partition_labels", lambda *_: other)
    assert [task.classes.tolist() for task in open_cpsd("name=elsewhere").sub_teachers.tasks] == [
        [0, 5],
        [1, 2, 3, 4],
    ] * 2
    assert [task.classes.tolist() for task in open_cpsd().sub_teachers.tasks] == fixed


def test_two_that_ask_at_once_get_the_same(tmp_path, monkeypatch):
    draws = [[np.array([0, 1]), np.array([2])], [np.array([0]), np.array([1, 2])]]

    def draw(*_):
        time.sleep(0.2)
        return draws.pop()

    monkeypatch.setattr("edgedistill.distill.methods.cpsd.partition_labels", draw)
    method, train, found = build_method("cpsd", k=2, partitions="co"), rows(TRAIN, "train"), []

    def ask() -> None:
        tasks = fix_tasks(tmp_path, method, train, 0, lambda task: None)
        found.append([task.classes.tolist() for task in tasks])

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[[0], [1, 2]]] * 2
    assert len(draws) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("method.k=3", "`method.k` was 2 and is 3"),
        ("method.tau=2", "`method.tau` was 3.0 and is 2.0"),
        ("method.partitions=co", "`method.partitions` was co_dis and is co"),
        ("seed=1", "`seed` was 0 and is 1"),
        ("data.validation=0.5", "the training part has other images, labels or classes"),
    ],
)
def test_those_of_another_recipe_are_refused(open_cpsd, change, told):
    path = open_cpsd().sub_teachers.folder / "partitions.json"
    _ = open_cpsd().sub_teachers.tasks
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=f"(?s){told}.*name=") as refused:
        _ = open_cpsd(change).sub_teachers.tasks
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_what_does_not_decide_them_may_change(open_cpsd):
    fixed = [task.classes.tolist() for task in open_cpsd().sub_teachers.tasks]
    run = open_cpsd("method.lambda_kd=3", "method.protocol=code", "train.lr=0.1", "tasks.images=positive")
    assert [task.classes.tolist() for task in run.sub_teachers.tasks] == fixed


@pytest.mark.parametrize("damage", ["{", '{"k": 2}', "twice"])
def test_a_damaged_file_is_refused(open_cpsd, damage):
    run = open_cpsd()
    _ = run.sub_teachers.tasks
    path = run.sub_teachers.folder / "partitions.json"
    path.write_text(path.read_text().replace('"ant"', '"bee"') if damage == "twice" else damage)
    with pytest.raises(CheckpointError, match="partitions.json: .*Delete"):
        _ = open_cpsd().sub_teachers.tasks


def test_other_hyper_parameters_do_not_continue_a_sub_task(cpsd_trained, open_cpsd):
    run = open_cpsd("tasks.train.lr=0.1")
    shutil.copytree(cpsd_trained.folder / "tasks", run.folder / "tasks")
    assert len(run.sub_teachers.left()) == 4
    with pytest.raises(CheckpointError, match="tasks/co-0/last.ckpt: belongs to another recipe"):
        run.teacher()


def rows(labels: list[list[int]], name: str) -> Dataset:
    array = np.array(labels, np.int8)
    ids = tuple(f"{name}{i}" for i in range(len(array)))
    return Dataset(name, CPSD_CLASSES[: array.shape[1]], ids, [np.zeros((2, 2, 3), np.uint8)] * len(array), array)


TRAIN = [[1, 0, 0], [0, 1, 0], [1, 1, -1], [0, 0, 0], [-1, -1, -1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("images", "kept"), [("all", [0, 1, 2, 3, 4, 5]), ("positive", [0, 1, 2])], ids=["all", "positive"]
)
def test_which_images_a_sub_task_learns_from(images, kept):
    whole = Splits(rows(TRAIN, "train"), rows([[0, 0, 1], [1, 0, 0]], "val"), rows([[0, 0, 0]], "test"))
    found = SubTask(0, "co", 0, np.array([1, 0])).splits(whole, images)
    assert found.train.ids == tuple(f"train{i}" for i in kept)
    assert found.train.classes == ("bee", "ant")
    assert found.train.labels.tolist() == [[TRAIN[i][1], TRAIN[i][0]] for i in kept]
    assert found.validation.labels.tolist() == [[0, 0], [0, 1]]
    assert len(found.test) == 1


def test_one_that_no_validation_image_shows_is_refused_before_anything_is_written(tmp_path):
    whole = Splits(rows(TRAIN, "train"), rows([[1, 1, 0], [1, 0, -1]], "val"), rows([[0, 0, 0]], "test"))
    method = build_method("cpsd", k=3, partitions="random")
    with pytest.raises(DataError, match=r"task \d \(random-\d: cat\): no image of val has .* Lower `method.k`"):
        fix_tasks(tmp_path / "tasks", method, whole.train, 0, lambda task: task.splits(whole, "all"))
    assert not list(tmp_path.glob("tasks/partitions.json"))


def test_positive_images_that_leave_a_class_without_negatives_are_refused():
    whole = Splits(rows(TRAIN, "train"), rows([[1, 1, 1]], "val"), rows([[0, 0, 0]], "test"))
    task = SubTask(4, "dis", 1, np.array([2]))
    assert len(task.splits(whole, "all").train) == 6
    with pytest.raises(DataError, match=r"task 4 \(dis-1: cat\): .* no image without 'cat' is left .*images: all"):
        task.splits(whole, "positive")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["teacher={checkpoint: t.safetensors}"], "method 'cpsd' trains its own teachers.*remove the `teacher:`"),
        (["method=vanilla"], "`tasks` is for methods that train their own teachers .*'vanilla' has no sub-tasks"),
        (["method=mse", "tasks=null"], "`method` learns from a teacher: add a `teacher:` section"),
        (["tasks.train.lrr=1"], "unknown key `tasks.train.lrr`. Did you mean `lr`"),
        (["tasks.train.epochs=0"], "`tasks.train.epochs`"),
        (["tasks.images=some"], "`tasks.images`.*Allowed: all, positive"),
        (["tasks.train.augment=[flop]"], "tasks.train.augment"),
    ],
)
def test_mistakes_in_a_recipe_are_named(open_cpsd, changes, told):
    with pytest.raises(ConfigError, match=told):
        open_cpsd(*changes)


def test_the_sub_tasks_settings_are_the_students_with_20_epochs_unless_told(open_cpsd):
    plain = open_cpsd("tasks=null", "train.ema=0.9").loaded.tasks().settings
    assert (plain.epochs, plain.lr, plain.ema, plain.batch_size) == (20, 0.003, 0.9, 16)
    stopped = open_cpsd("tasks=null", "train.epochs=3", "train.schedule_epochs=8").loaded.tasks().settings
    assert stopped.schedule_epochs is None, "the rate falls within a sub-task's own epochs"
    changed = open_cpsd("tasks.train.ema=null", "train.ema=0.9").loaded.tasks().settings
    assert (changed.epochs, changed.ema) == (2, None)
    assert yaml.safe_load(open_cpsd("tasks=null").resolved())["tasks"]["train"]["epochs"] == 20
    assert yaml.safe_load(open_cpsd("tasks=null", "method=vanilla").resolved())["tasks"] is None


def test_mistakes_on_the_command_line_are_told(command, cpsd_recipe, tmp_path):
    changes = [cpsd_recipe, f"output={tmp_path}"]
    for arguments, told in (
        (["--task", 4], "task 4: there is none of that number; the sub-tasks are co 0 to 1, dis 2 to 3."),
        (["--task", 0, "--jobs", 2], "--task and --jobs do not go together"),
        (["--jobs", 2, "--seeds", "0,1"], "--jobs and --seeds do not go together"),
        (["method=vanilla", "tasks=null", "--task", 0], "has no sub-tasks to train"),
        (["method=vanilla", "tasks=null", "--jobs", 2], "has no sub-tasks to train"),
    ):
        code, _, err = command("distill", *changes, *arguments)
        assert code == 2
        assert told in err


def test_list_shows_what_it_needs(command):
    _, out, _ = command("list", "methods", "--json")
    (cpsd,) = [row for row in json.loads(out) if row["method"] == "cpsd"]
    assert cpsd["needs"] == "teachers that it trains"


def test_torchrun_and_jobs_do_not_go_together(open_cpsd, monkeypatch):
    monkeypatch.setattr("edgedistill.distill.experiment.processes.current_world", lambda: World(rank=0, size=2))
    with pytest.raises(ConfigError, match="`--jobs` starts processes of its own"):
        train_tasks(open_cpsd().sub_teachers, 2, QUIET)
