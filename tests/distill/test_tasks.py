"""CPSD's sub-tasks: fixed once, trained one by one in any order or side by side, merged into one teacher."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console
from safetensors.numpy import load_file

from edgedistill.cli import main
from edgedistill.distill import sub_teachers
from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.engine import World, predict_logits
from edgedistill.distill.engine.folder import sole_writer
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.methods import build_method
from edgedistill.distill.recipe import load_recipe
from edgedistill.distill.splits import Splits
from edgedistill.distill.tasks import SubTask, fix_tasks
from edgedistill.pipeline import _result
from edgedistill.runtime import metrics
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    EdgedistillError,
    InterruptedRunError,
)
from edgedistill.task_jobs import Command, run_side_by_side, share_machine, train_tasks

CLASSES = ("ant", "bee", "cat", "dog", "elk", "fox")
QUIET = Console(quiet=True)


@pytest.fixture(autouse=True)
def one_thread():
    """The number of threads decides the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """Two groups of three classes that occur together; a training takes a fraction of a second."""
    folder = tmp_path_factory.mktemp("tasks")
    rng = np.random.default_rng(0)
    for split, count in (("train", 64), ("test", 12)):
        rows = [",".join(("path", *CLASSES))]
        for image in range(count):
            labels = (rng.random(6) < np.where(np.arange(6) // 3 == image % 2, 0.7, 0.1)).astype(int)
            pixels = rng.integers(0, 90, (32, 32, 3)) + 30 * (labels[:3] + labels[3:])
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{split}{image}.png")
            rows.append(f"{split}{image}.png," + ",".join(map(str, labels)))
        (folder / f"{split}.csv").write_text("\n".join(rows))
    content = {
        "data": {
            "train": {"format": "csv", "path": "train.csv"},
            "test": {"format": "csv", "path": "test.csv"},
            "validation": 0.25,
        },
        "input": {"size": 32},
        "student": {
            "model": {"name": "shufflenetv2", "width": 0.5},
            "train": {"epochs": 1, "batch_size": 16, "lr": 0.003, "workers": 0},
        },
        "method": {"name": "cpsd", "k": 2},
        "tasks": {"train": {"epochs": 2}},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def experiment(recipe, tmp_path):
    """Open it below the test's own folder; texts change the recipe."""

    def make(*changes: str, output: Path = tmp_path) -> Experiment:
        return Experiment(load_recipe(recipe, assignments=[f"output={output}", *changes]), QUIET)

    return make


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory) -> Experiment:
    """All of it in one process, in order; not to be changed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("sequential")
    run = Experiment(load_recipe(recipe, assignments=[f"output={output}"]), QUIET)
    run.student(run.teacher())
    torch.set_num_threads(before)
    return run


def weights(run: Experiment, place: str = "student") -> dict[str, bytes]:
    return {n: v.tobytes() for n, v in load_file(run.folder / place / "student.safetensors").items()}


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run a command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgedistill", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return (left.value.code, *capsys.readouterr())

    return run


def test_one_by_one_in_another_order_ends_with_the_same_bits(trained, experiment):
    for number in (3, 0, 2):
        experiment().sub_teachers.train(number)
    run = experiment()
    assert [task.number for task in run.sub_teachers.left()] == [1]
    run.student(run.teacher())
    assert [task.name for task in run.sub_teachers.tasks] == ["co-0", "co-1", "dis-0", "dis-1"]
    for place in ("tasks/co-0", "tasks/co-1", "tasks/dis-0", "tasks/dis-1", "student"):
        assert weights(run, place) == weights(trained, place)
    assert weights(run, "tasks/co-0") != weights(run, "tasks/dis-0")


def test_as_a_user_types_it(trained, recipe, experiment, cli, monkeypatch):
    """One sub-task as a cluster's job, the others side by side (each a process of its own), and then the student."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run = experiment()
    changes = [recipe, f"output={run.recipe.output}"]
    code, out, _ = cli("distill", *changes, "--task", 3, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["task"], found["left"]) == (3, [0, 1, 2])
    assert found["classes"] == [CLASSES[c] for c in run.sub_teachers.tasks[3].classes]
    kept = (run.folder / "tasks" / "dis-1" / "last.ckpt").stat().st_mtime_ns
    _, out, _ = cli("distill", *changes, "--task", 1)
    assert "left of 4 sub-tasks: 0, 2. edgedistill distill" in out
    code, out, err = cli("distill", *changes, "--jobs", 2)
    assert code == 0, err
    assert "2 of 4 sub-tasks are to be trained, 2 at once with 1 threads each" in err
    assert "task 0 (co-0)  epoch 2/2" in err
    assert "task 2 (dis-0)  epoch 2/2" in err
    assert "student.safetensors: validation mAP" in out
    assert (run.folder / "tasks" / "dis-1" / "last.ckpt").stat().st_mtime_ns == kept
    for place in ("tasks/co-0", "tasks/dis-0", "student"):
        assert weights(run, place) == weights(trained, place)
    _, out, _ = cli("distill", *changes, "--task", 1)
    assert "all 4 sub-tasks are trained. Now the student: edgedistill distill" in out


def test_a_finished_one_is_only_loaded(trained, experiment):
    run = experiment()
    shutil.copytree(trained.folder / "tasks", run.folder / "tasks")
    for path in run.folder.glob("tasks/*/last.ckpt"):
        path.unlink()
    with sole_writer(run.folder / "tasks" / "co-0"):
        assert run.teacher().weights_sha256 == trained.teacher().weights_sha256
    assert not list(run.folder.glob("tasks/*/last.ckpt"))


def test_an_unfinished_one_is_left(trained, experiment):
    run = experiment()
    shutil.copytree(trained.folder / "tasks", run.folder / "tasks")
    assert run.sub_teachers.left() == []
    summary = run.folder / "tasks" / "dis-0" / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "finished": False}))
    (run.folder / "tasks" / "co-1" / "student.safetensors").unlink()
    assert [task.name for task in run.sub_teachers.left()] == ["co-1", "dis-0"]


def test_one_that_another_process_trains_is_told(experiment):
    run = experiment()
    with sole_writer(run.folder / "tasks" / "co-1"), pytest.raises(EdgedistillError) as told:
        run.sub_teachers.train(1)
    assert "tasks/co-1: another process is training there" in str(told.value)


def test_every_sub_task_is_the_students_training_on_its_own_labels(experiment):
    run = experiment("method.supervised=bce", "seed=7", "tasks.train={lr: 0.5}")
    whole = run.splits
    for task in run.sub_teachers.tasks:
        job, model, teacher = run.sub_teachers.training(task)
        assert teacher is None
        assert job.folder == run.folder / "tasks" / task.name
        assert job.method == build_method("vanilla", supervised="bce", reduction="sum")
        assert job.settings == type(job.settings)(epochs=20, batch_size=16, lr=0.5, workers=0)
        assert job.seed == 7 + task.number
        assert job.card.classes == tuple(CLASSES[c] for c in task.classes) == job.train.classes
        assert model.num_classes == len(task.classes)
        for part, source in ((job.train, whole.train), (job.validation, whole.validation)):
            assert part.ids == source.ids
            for column, c in enumerate(task.classes):
                assert part.labels[:, column].tolist() == source.labels[:, c].tolist()
    subsets = build_method("cpsd", k=2).subsets(whole.train.labels, 7)
    assert [(t.kind, t.classes.tolist()) for t in run.sub_teachers.tasks] == [
        (kind, subset.tolist()) for kind in ("co", "dis") for subset in subsets[kind]
    ]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_merged_logits_are_those_of_the_sub_tasks_in_their_places(trained, part):
    teacher, data = trained.teacher(), getattr(trained.splits, part)
    expected = np.zeros((2, len(data), 6))
    for task in trained.sub_teachers.tasks:
        own = load_student(trained.folder / "tasks" / task.name / "student.safetensors")
        logits = predict_logits(own.model, data, own.card.preprocessing).logits
        for image in range(len(data)):
            for column, c in enumerate(task.classes):
                expected[("co", "dis").index(task.kind), image, c] = logits[image, column]
    found = trained.test(teacher) if part == "test" else predict_logits(teacher.model, data, teacher.card.preprocessing)
    np.testing.assert_allclose(found.logits, expected.mean(0), rtol=1e-5, atol=1e-6)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


def test_the_student_learns_from_the_stored_outputs_too(trained, experiment):
    records = []
    for cache in ("true", "false"):
        # The sub-tasks are those that are trained already.
        changes = [
            f"name=cache-{cache}",
            f"tasks.cache={cache}",
            "train.augment=[]",
            "tasks.train.augment=[flip, cutout]",
        ]
        run = experiment(*changes)
        shutil.copytree(trained.folder / "tasks", run.folder / "tasks")
        run.student(run.teacher())
        records.append(json.loads((run.folder / "student" / "metrics.jsonl").read_text())["terms"])
    (stored,) = run.folder.parent.glob("caches/teachers/*/partition_logits.f16")
    assert stored.stat().st_size == len(run.splits.train) * 2 * 6 * 2
    assert list(records[0]) == ["asl", "kd_co", "kd_dis"]
    assert records[0] == pytest.approx(records[1], rel=1e-3)
    assert records[0] != records[1], "one read fp16, the other did not"


def test_the_merged_teacher_is_scored_once(trained, monkeypatch):
    teacher = trained.teacher()
    outputs = predict_logits(teacher.model, trained.splits.validation, teacher.card.preprocessing)
    kept = json.loads((trained.folder / "tasks" / "merged.json").read_text())
    assert kept["weights_sha256"] == teacher.weights_sha256
    assert teacher.card.metrics == kept["metrics"]
    monkeypatch.setattr(sub_teachers, "predict_logits", lambda *_, **__: pytest.fail("computed again"))
    assert trained.teacher().card.metrics == teacher.card.metrics
    monkeypatch.undo()
    found = metrics.evaluate(outputs.scores, outputs.dataset.labels)
    assert teacher.card.metrics["mAP"] == pytest.approx(found["mAP"])


def test_the_score_of_another_merged_teacher_does_not_count(trained, experiment):
    run = experiment()
    shutil.copytree(trained.folder / "tasks", run.folder / "tasks")
    path = run.folder / "tasks" / "merged.json"
    true = path.read_text()
    path.write_text(json.dumps({"weights_sha256": "another", "metrics": {"mAP": 99.0}}))
    assert run.teacher().card.metrics["mAP"] < 99
    assert path.read_text() == true


def test_the_summary_names_what_the_teacher_is(trained):
    teacher = trained.teacher()
    row = _result("teacher", "labels", teacher, trained.test(teacher))
    one = load_student(trained.folder / "tasks" / "co-0" / "student.safetensors").model
    assert trained.loaded.has_teacher
    assert row.model == "4 of shufflenetv2 x0.5"
    assert row.parameters > 3 * sum(p.numel() for p in one.parameters())
    assert row.images == 12


def test_without_a_start_nothing_is_written(experiment):
    run = experiment()
    teacher = run.untrained_teacher()
    assert teacher.card.classes == CLASSES
    assert len(teacher.model.models) == 4
    assert run.training("student", teacher).teacher is teacher.model
    assert not run.folder.exists()


def test_the_sub_tasks_that_were_fixed_hold_for_every_machine(experiment, monkeypatch):
    fixed = [task.classes.tolist() for task in experiment().sub_teachers.tasks]
    assert all(sorted(fixed[i] + fixed[i + 1]) == list(range(6)) for i in (0, 2))
    # Another machine's libraries would cluster in another way.
    other = [np.array([0, 5]), np.array([1, 2, 3, 4])]
    monkeypatch.setattr("edgedistill.distill.methods.cpsd.partition_labels", lambda *_: other)
    assert [task.classes.tolist() for task in experiment("name=elsewhere").sub_teachers.tasks] == [
        [0, 5],
        [1, 2, 3, 4],
    ] * 2
    assert [task.classes.tolist() for task in experiment().sub_teachers.tasks] == fixed


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
def test_those_of_another_recipe_are_refused(experiment, change, told):
    path = experiment().sub_teachers.folder / "partitions.json"
    _ = experiment().sub_teachers.tasks
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=f"(?s){told}.*name=") as refused:
        _ = experiment(change).sub_teachers.tasks
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_what_does_not_decide_them_may_change(experiment):
    fixed = [task.classes.tolist() for task in experiment().sub_teachers.tasks]
    run = experiment("method.lambda_kd=3", "method.protocol=code", "train.lr=0.1", "tasks.images=positive")
    assert [task.classes.tolist() for task in run.sub_teachers.tasks] == fixed


@pytest.mark.parametrize("damage", ["{", '{"k": 2}', "twice"])
def test_a_damaged_file_is_refused(experiment, damage):
    run = experiment()
    _ = run.sub_teachers.tasks
    path = run.sub_teachers.folder / "partitions.json"
    path.write_text(path.read_text().replace('"ant"', '"bee"') if damage == "twice" else damage)
    with pytest.raises(CheckpointError, match="partitions.json: .*Delete"):
        _ = experiment().sub_teachers.tasks


def test_other_hyper_parameters_do_not_continue_a_sub_task(trained, experiment):
    run = experiment("tasks.train.lr=0.1")
    shutil.copytree(trained.folder / "tasks", run.folder / "tasks")
    assert len(run.sub_teachers.left()) == 4
    with pytest.raises(CheckpointError, match="tasks/co-0/last.ckpt: belongs to another recipe"):
        run.teacher()


def rows(labels: list[list[int]], name: str) -> Dataset:
    array = np.array(labels, np.int8)
    ids = tuple(f"{name}{i}" for i in range(len(array)))
    return Dataset(name, CLASSES[: array.shape[1]], ids, [np.zeros((2, 2, 3), np.uint8)] * len(array), array)


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
def test_mistakes_in_a_recipe_are_named(experiment, changes, told):
    with pytest.raises(ConfigError, match=told):
        experiment(*changes)


def test_the_sub_tasks_settings_are_the_students_with_20_epochs_unless_told(experiment):
    plain = experiment("tasks=null", "train.ema=0.9").loaded.tasks().settings
    assert (plain.epochs, plain.lr, plain.ema, plain.batch_size) == (20, 0.003, 0.9, 16)
    changed = experiment("tasks.train.ema=null", "train.ema=0.9").loaded.tasks().settings
    assert (changed.epochs, changed.ema) == (2, None)
    assert yaml.safe_load(experiment("tasks=null").resolved())["tasks"]["train"]["epochs"] == 20
    assert yaml.safe_load(experiment("tasks=null", "method=vanilla").resolved())["tasks"] is None


def test_mistakes_on_the_command_line_are_told(cli, recipe, tmp_path):
    changes = [recipe, f"output={tmp_path}"]
    for arguments, told in (
        (["--task", 4], "task 4: there is none of that number; the sub-tasks are co 0 to 1, dis 2 to 3."),
        (["--task", 0, "--jobs", 2], "--task and --jobs do not go together"),
        (["--jobs", 2, "--seeds", "0,1"], "--jobs and --seeds do not go together"),
        (["method=vanilla", "tasks=null", "--task", 0], "has no sub-tasks to train"),
        (["method=vanilla", "tasks=null", "--jobs", 2], "has no sub-tasks to train"),
    ):
        code, _, err = cli("distill", *changes, *arguments)
        assert code == 2
        assert told in err


def test_list_shows_what_it_needs(cli):
    _, out, _ = cli("list", "methods", "--json")
    (cpsd,) = [row for row in json.loads(out) if row["method"] == "cpsd"]
    assert cpsd["needs"] == "teachers that it trains itself"


def test_torchrun_and_jobs_do_not_go_together(experiment, monkeypatch):
    monkeypatch.setattr("edgedistill.task_jobs.current_world", lambda: World(rank=0, size=2))
    with pytest.raises(ConfigError, match="`--jobs` starts processes of its own"):
        train_tasks(experiment().sub_teachers, 2, QUIET)


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
    monkeypatch.setattr("edgedistill.task_jobs.usable_cores", lambda: 8)
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
