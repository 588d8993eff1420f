"""`plan`: what a command would do, against what it does; and that planning leaves nothing behind."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

import edgedistill.distill.plan.training as module
from edgedistill.distill.data import decoded
from edgedistill.distill.engine import trainer
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.plan import plan
from edgedistill.distill.plan.facts import Plan
from edgedistill.distill.plan.time import Estimate
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import CheckpointError, ConfigError, EdgedistillError, InterruptedRunError

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = {"name": "timm/test_efficientnet"}
BASE = {
    "name": "tiny",
    "data": {
        "train": {"format": "digit_scenes", "split": "train", "images": 48, "size": 32},
        "test": {"format": "digit_scenes", "split": "test", "images": 12, "size": 32},
        "validation": 0.25,
    },
    "input": {"size": 32},
    "teacher": {
        "model": {**NETWORK, "branches": ["ml_decoder"]},
        "train": {"epochs": 1, "batch_size": 12},
        "accept": True,
    },
    "student": {"model": NETWORK, "train": {"epochs": 4, "batch_size": 12, "views": 2, "ema": 0.9}},
    "method": "l2d",
    "baseline": True,
}
CPSD = {"teacher": None, "method": {"name": "cpsd", "k": 2}, "tasks": {"train": {"epochs": 1}, "accept": True}}

# 36 images: an epoch is 3 steps of 2 s; loading takes 3.6 s beside them.
FOUND = Estimate(
    images=36,
    epochs=4,
    steps=12,
    batch_size=12,
    step_seconds=2.0,
    load_seconds=0.1,
    reload_seconds=0.1,
    loading_processes=1,
)


@pytest.fixture
def open_recipe(tmp_path):
    """The experiment of BASE with other top-level keys and KEY=VALUE arguments."""

    def make(*assignments, **changes):
        path = tmp_path / "recipe.yaml"
        content = {**BASE, "output": str(tmp_path / "runs"), **changes}
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return Experiment(load_recipe(path, assignments=assignments), Console(quiet=True))

    return make


@pytest.fixture
def estimates(monkeypatch):
    """What is measured, by title; the numbers are FOUND's with the job's own epochs and stored views."""
    asked = []

    def estimate(job, model, teacher, part):
        asked.append(job.title)
        stored = 2 if teacher is not None else 0
        return replace(FOUND, epochs=job.settings.epochs, steps=3 * job.settings.epochs, stored_views=stored)

    monkeypatch.setattr(module, "estimate", estimate)
    return asked


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and time of change."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def planned(experiment, command, role):
    (found,) = [training for training in plan(experiment, command).trainings if training.role == role]
    return found


@pytest.mark.parametrize("changes", [{}, CPSD, {"teacher": None, "method": "vanilla"}])
def test_a_new_run_is_measured_and_nothing_is_written(open_recipe, tmp_path, monkeypatch, changes):
    monkeypatch.setattr("edgedistill.distill.plan.time._ENOUGH_SECONDS", 0.0)
    experiment = open_recipe(**changes)
    before, held = tree(tmp_path), dict(decoded._held)
    found = plan(experiment, "run")
    assert tree(tmp_path) == before
    assert decoded._held == held
    assert not (tmp_path / "runs").exists()
    assert all(training.step_seconds > 0 and training.estimated_seconds > 0 for training in found.trainings)
    assert found.estimated_seconds == sum(training.estimated_seconds for training in found.trainings)
    assert [(split.part, split.images) for split in found.splits] == [("train", 36), ("validation", 12), ("test", 12)]
    assert (found.classes, found.size) == (20, (32, 32))
    assert found.free_bytes > found.missing_bytes == sum(kept.bytes for kept in found.kept if kept.where == "disk")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Plan) == found


@pytest.mark.parametrize(
    ("command", "changes", "trainings", "models"),
    [
        ("train", {}, ["teacher"], ["teacher"]),
        ("distill", {}, ["teacher", "student"], ["teacher", "student"]),
        ("run", {}, ["teacher", "baseline", "student"], ["teacher", "baseline", "student"]),
        ("run", {"baseline": False}, ["teacher", "student"], ["teacher", "student"]),
        ("train", {"teacher": None, "method": "vanilla"}, ["baseline"], ["baseline"]),
        ("train", CPSD, ["sub-tasks"], ["teacher"]),
        ("run", CPSD, ["sub-tasks", "baseline", "student"], ["teacher", "baseline", "student"]),
    ],
)
def test_each_command_plans_what_it_trains(open_recipe, estimates, command, changes, trainings, models):
    found = plan(open_recipe(**changes), command)
    assert [training.role for training in found.trainings] == trainings
    assert [model.role for model in found.models] == models
    assert len(estimates) == len(trainings)


def test_one_training_saves_at_a_time_and_the_largest_needs_the_most_room(open_recipe, estimates):
    found = plan(open_recipe(), "run")
    (room,) = [kept for kept in found.kept if kept.what.startswith("room")]
    teacher, _, student = found.models
    trained = 4 * (3 * student.training_parameters + student.parameters)
    assert room.bytes == pytest.approx(trained, rel=0.02), "network, two moments, and an average of what ships"
    assert room.bytes > 4 * 3 * teacher.training_parameters


def test_models_are_told_as_they_ship_and_as_they_train(open_recipe, estimates):
    teacher, baseline, student = plan(open_recipe(), "run").models
    decoder = teacher.training_parameters - teacher.parameters
    assert decoder > 5e6
    assert teacher.parameters == baseline.parameters == student.parameters == baseline.training_parameters
    assert student.training_parameters == student.parameters + decoder, "l2d attaches a decoder"
    assert teacher.macs == student.macs
    assert student.name == "timm/test_efficientnet"


def test_seeds_share_what_was_measured(open_recipe, estimates):
    measured = {}
    first, second = plan(open_recipe(), "run", measured), plan(open_recipe("seed=1", "name=other"), "run", measured)
    assert estimates == ["teacher", "baseline", "student"]
    assert first.estimated_seconds == second.estimated_seconds
    assert (second.name, second.recipe["seed"]) == ("other", 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """BASE, distilled: its recipe and what its folder holds."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**BASE, "output": str(folder / "runs")}))
    experiment = Experiment(load_recipe(path), Console(quiet=True))
    experiment.student(experiment.teacher())
    return path


def of(path, *assignments):
    return Experiment(load_recipe(path, assignments=assignments), Console(quiet=True))


def test_what_is_finished_is_done_and_as_large_as_was_planned(finished, estimates):
    runs = finished.parent / "runs"
    before = tree(runs)
    found = plan(of(finished), "distill")
    assert tree(runs) == before
    assert estimates == []
    assert [(t.role, t.finished, t.epochs_done, t.step_seconds) for t in found.trainings] == [
        ("teacher", 1, 1, None),
        ("student", 1, 4, None),
    ]
    assert found.estimated_seconds == found.missing_bytes == 0
    for kept in found.kept:
        assert kept.present_bytes == pytest.approx(kept.bytes, rel=0.05), kept.what
    assert found.recipe == yaml.safe_load((runs / "tiny" / "recipe.yaml").read_text())


def test_only_the_baseline_is_left_to_run(finished, estimates):
    found = plan(of(finished), "run")
    assert estimates == ["baseline"]
    assert [training.estimated_seconds for training in found.trainings] == [0, 4 * 6, 0]
    assert found.estimated_seconds == 24


def test_another_student_finds_the_teacher_and_its_outputs(finished, estimates):
    """The cache that a real run wrote is recognised by its content."""
    other = of(
        finished, "name=other", f"teacher={{checkpoint: {finished.parent}/runs/tiny/teacher/teacher.safetensors}}"
    )
    found = plan(other, "distill")
    (cache,) = [kept for kept in found.kept if kept.what.startswith("teacher's outputs")]
    stored = Path(cache.path)
    assert stored.parent == finished.parent / "runs" / "caches" / "teachers"
    assert cache.bytes == cache.present_bytes == sum(file.stat().st_size for file in stored.glob("*.f16"))
    (student,) = found.trainings
    assert (student.teacher, student.estimated_seconds) == ("stored", 4 * 6)
    assert found.models[0].training_parameters is None
    assert plan(other, "train").trainings == ()


def test_a_damaged_part_of_the_outputs_is_computed_again(finished, estimates, tmp_path):
    other = of(
        finished, "name=other", f"teacher={{checkpoint: {finished.parent}/runs/tiny/teacher/teacher.safetensors}}"
    )
    (cache,) = [kept for kept in plan(other, "distill").kept if kept.what.startswith("teacher's outputs")]
    file = Path(cache.path) / "logits.f16"
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the second view
        (damaged,) = [kept for kept in plan(other, "distill").kept if kept.what.startswith("teacher's outputs")]
    finally:
        file.write_bytes(content)
    assert 0.4 < damaged.present_bytes / damaged.bytes < 0.6


def test_another_recipes_folder_is_refused_as_by_the_command(finished, estimates):
    with pytest.raises(CheckpointError, match="belongs to another recipe"):
        plan(of(finished, "train.lr=0.5"), "distill")


def test_a_teacher_that_is_not_finished_decides_about_a_begun_student(finished, estimates, tmp_path):
    teacher = finished.parent / "runs" / "tiny" / "teacher"
    for name in ("last.ckpt", "summary.json"):
        (teacher / name).rename(tmp_path / name)
    try:
        student = planned(of(finished), "distill", "student")
    finally:
        for name in ("last.ckpt", "summary.json"):
            (tmp_path / name).rename(teacher / name)
    assert student.notes == ("whether what was begun goes on, the teacher decides",)
    assert student.estimated_seconds == pytest.approx(2 * 3.6 + 4 * 6), "two views are stored first"
    assert student.finished == 0


def test_half_a_training_costs_what_is_left(open_recipe, estimates, monkeypatch):
    """Stopped after the second of three steps in the third of four epochs."""

    def stop(self, *_):
        if (self.state.epoch, self.state.batch) == (2, 2):
            self._save()
            raise InterruptedRunError("stopped")

    monkeypatch.setattr(trainer._Training, "_stop_if", stop)
    experiment = open_recipe(teacher=None, method="vanilla", baseline=False)
    with pytest.raises(InterruptedRunError):
        experiment.student(None)
    student = planned(open_recipe(teacher=None, method="vanilla", baseline=False), "distill", "student")
    assert student.epochs_done == pytest.approx(2 + 2 / 3)
    assert student.estimated_seconds == pytest.approx((4 - 2 - 2 / 3) * 6)
    assert (student.finished, student.steps) == (0, 12)


@pytest.mark.slow
def test_sub_tasks_are_counted_and_their_finished_ones_too(open_recipe, estimates):
    changes = {**CPSD, "baseline": False}
    new = plan(open_recipe(**changes), "distill")
    assert (new.trainings[0].count, new.trainings[0].finished, new.trainings[0].epochs) == (4, 0, 1)
    assert new.trainings[0].estimated_seconds == 4 * 6
    assert new.models[0].name == "4 of timm/test_efficientnet"
    assert new.models[0].parameters == new.models[0].training_parameters > 3 * new.models[1].parameters
    experiment = open_recipe(**changes)
    experiment.sub_teachers.train(2)
    begun = plan(open_recipe(**changes), "distill")
    assert (begun.trainings[0].finished, begun.trainings[0].estimated_seconds) == (1, 3 * 6)
    assert 0.24 < begun.kept[0].present_bytes / begun.kept[0].bytes < 0.28
    experiment.student(experiment.teacher())
    done = plan(open_recipe(**changes), "distill")
    assert [(training.finished, training.estimated_seconds) for training in done.trainings] == [(4, 0), (1, 0)]
    assert done.missing_bytes == 0


def test_an_adopted_teacher_is_not_trained_and_its_copy_is_counted(open_recipe, estimates, tmp_path):
    from torchvision.models import shufflenet_v2_x0_5

    torch.save(shufflenet_v2_x0_5(num_classes=20).state_dict(), tmp_path / "own.pth")
    own = {"name": "shufflenetv2", "width": 0.5, "pretrained": "own.pth"}
    changes = {"teacher": {"model": own}, "method": "mdkd", "baseline": False}
    found = plan(open_recipe(**changes), "distill")
    assert estimates == ["student"]
    assert (found.kept[0].what, found.kept[0].present_bytes) == ("weights", 0)
    (new,) = [kept for kept in found.kept if kept.what.startswith("teacher's outputs")]
    assert new.path is not None
    assert new.present_bytes == 0
    experiment = open_recipe(**changes)
    experiment.student(experiment.teacher())
    done = plan(open_recipe(**changes), "distill")
    assert done.missing_bytes == 0
    assert done.kept[0].present_bytes == pytest.approx(done.kept[0].bytes, rel=0.05)
    assert Path(new.path).is_dir(), "the folder was foretold"


@pytest.mark.parametrize("cache", ["disk", "memory", "off"])
def test_decoded_images_are_counted_once_and_found_again(open_recipe, estimates, tmp_path, cache):
    rng = np.random.default_rng(0)
    for split, images in (("train", 48), ("test", 8)):
        (tmp_path / split).mkdir()
        rows = ["path,labels"]
        for index in range(images):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / split / f"{index}.png")
            rows.append(f"{split}/{index}.png,{('red', 'blue')[index % 2]}")
        (tmp_path / f"{split}.csv").write_text("\n".join(rows))
    train = {"epochs": 2, "batch_size": 12, "decoded_cache": cache, "workers": 0, "views": 1}
    changes = {
        "data": {
            "train": {"format": "csv", "path": "train.csv"},
            "test": {"format": "csv", "path": "test.csv"},
            "validation": 0.25,
        },
        "teacher": {"model": NETWORK, "train": train, "accept": True},
        "student": {"model": NETWORK, "train": train},
        "method": "mld",
        "baseline": False,
    }
    before = tree(tmp_path)
    new = [kept for kept in plan(open_recipe(**changes), "distill").kept if kept.what.startswith("decoded images")]
    assert {name: entry for name, entry in tree(tmp_path).items() if "recipe.yaml" not in name} == before
    if cache == "off":
        assert new == []
        return
    kept, validation = new
    assert (kept.where, kept.bytes, kept.present_bytes) == (cache, 36 * (32 * 32 * 3 + 4), 0)
    assert (validation.where, validation.bytes) == (cache, 12 * (32 * 32 * 3 + 4))
    experiment = open_recipe(**changes)
    experiment.student(experiment.teacher())
    other = {
        **changes,
        "name": "other",
        "teacher": {"checkpoint": str(experiment.folder / "teacher/teacher.safetensors")},
    }
    found = {one.what.partition(":")[0]: one for one in plan(open_recipe(**other), "distill").kept}
    outputs, again = found["teacher's outputs"], found[kept.what]
    assert outputs.present_bytes == outputs.bytes, "ids that are not sorted as the files list them"
    if cache == "disk":
        assert again.path == kept.path
        assert Path(kept.path).stat().st_size == kept.bytes == again.present_bytes


def test_nothing_is_downloaded(open_recipe, estimates, monkeypatch):
    def fetch(*arguments, **options):
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    student = {**BASE["student"], "model": {"name": "mobilenetv2", "pretrained": "imagenet"}}
    found = plan(open_recipe(student=student), "run")
    assert found.models[2].name == "mobilenetv2"
    with pytest.raises((AssertionError, EdgedistillError)):
        open_recipe(student=student).baseline()


def test_a_teacher_that_the_method_cannot_use_is_refused(open_recipe, estimates):
    teacher = {**BASE["teacher"], "model": NETWORK}
    with pytest.raises(ConfigError, match="the method needs embeddings"):
        plan(open_recipe(teacher=teacher), "distill")


def test_the_parts_of_each_network_are_listed_with_their_rates(open_recipe, estimates):
    settings = ("student.train.parts.backbone={lr_scale: 0.1, freeze_epochs: 2}", "student.train.layer_decay=0.5")
    found = planned(open_recipe("student.train.lr=0.01", *settings), "distill", "student").parts
    assert [part.part for part in found[:2]] == ["method", "head"], "l2d adds a decoder to a linear head"
    assert [part.lr for part in found[:2]] == pytest.approx([1e-4, 0.01]), "the decoder at its paper's rate"
    backbone = [part for part in found if part.part == "backbone"]
    assert [part.below_head for part in backbone] == list(range(1, len(backbone) + 1))
    assert [part.lr for part in backbone] == pytest.approx([0.001 * 0.5**part.below_head for part in backbone])
    assert {part.freeze_epochs for part in backbone} == {2}


def test_a_memory_format_that_is_taken_by_itself_is_told(open_recipe, estimates):
    arguments = ("input.size=96", "method=vanilla", "student.train.precision=fp32")
    (told,) = planned(open_recipe(*arguments), "distill", "student").notes
    assert told.startswith("in channels last, which is faster on a CPU")
    assert planned(open_recipe(*arguments, "train.channels_last=false"), "distill", "student").notes == ()
