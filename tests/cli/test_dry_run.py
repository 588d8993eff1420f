"""`--dry-run` as a user types it: the resolved recipe, then tables; or one JSON document."""

import json
from pathlib import Path

import msgspec
import pytest
import yaml
from rich.console import Console

from edgedistill.cli.plan_table import count, plan_tables
from edgedistill.distill.plan.facts import Kept, Plan, PlannedModel, PlannedPart, PlannedSplit, PlannedTraining
from edgedistill.runtime.preprocess import IMAGENET_STD

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = {"name": "timm/test_efficientnet"}
RECIPE = {
    "name": "tiny",
    "data": {
        "train": {"format": "digit_scenes", "split": "train", "images": 48, "size": 32},
        "test": {"format": "digit_scenes", "split": "test", "images": 12, "size": 32},
        "validation": 0.25,
    },
    "input": {"size": 32},
    "teacher": {"model": NETWORK, "train": {"epochs": 2, "batch_size": 12, "lr": 0.001}},
    "student": {"model": NETWORK, "train": {"epochs": 3, "batch_size": 12}},
    "method": "mld",
    "baseline": True,
}


@pytest.fixture(autouse=True)
def a_measurement_is_short(monkeypatch):
    monkeypatch.setattr("edgedistill.distill.plan.time._ENOUGH_SECONDS", 0.0)


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "output": str(tmp_path / "runs")}))
    return path


def test_the_chain_is_told_and_nothing_is_written(recipe, command, tmp_path):
    code, out, err = command("run", recipe, "train.epochs=5", "--dry-run")
    assert code == 0, err
    assert list(tmp_path.iterdir()) == [recipe]
    resolved, _, tables = out.partition("\nData  ")
    content = yaml.safe_load(resolved)
    assert content["student"]["train"]["epochs"] == 5
    assert content["student"]["train"]["optimizer"] == "adam"
    assert content["teacher"]["train"]["lr"] == 0.001
    rows = [line.split("  ") for line in tables.splitlines()]
    named = [row[0] for row in rows]
    assert (
        named.count("teacher") == named.count("student") == named.count("student, no teacher") == 4
    )  # with two parts each
    assert "36 training, 12 validation, 12 test images; 20 classes" in tables
    assert "on this machine as it is now, without evaluation" in tables
    assert "mld, live teacher" in tables
    assert "student: weights and last.ckpt" in tables
    assert str(tmp_path / "runs" / "tiny" / "student") in tables


def test_json_is_one_document_with_everything(recipe, command, tmp_path):
    code, out, err = command("distill", recipe, "--dry-run", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert msgspec.convert(found, Plan).command == "distill"
    assert found["recipe"]["student"]["train"]["views"] is None
    assert [training["role"] for training in found["trainings"]] == ["teacher", "student"]
    assert [training["steps"] for training in found["trainings"]] == [6, 9]
    assert found["models"][0]["parameters"] == found["models"][0]["training_parameters"]
    assert found["estimated_seconds"] > 0
    assert list(tmp_path.iterdir()) == [recipe]


def test_train_plans_the_teacher_and_then_says_that_it_is_done(recipe, command):
    arguments = ("train", recipe, "teacher.train.epochs=1")
    code, out, err = command(*arguments, "--json")
    assert code == 0, err
    assert json.loads(out)["checkpoint"].endswith("teacher.safetensors")
    code, out, err = command(*arguments, "--dry-run")
    assert code == 0, err
    (row,) = [line.split() for line in out.splitlines() if line.startswith("teacher") and "labels" in line]
    assert row == ["teacher", "labels", "1", "-", "-", "-", "done"]
    assert "about" not in out
    code, _, err = command("train", recipe, "--dry-run")
    assert code == 2, "two epochs are another training, in the folder of this one"
    assert "belongs to another recipe" in err


def test_seeds_are_planned_together(recipe, command):
    arguments = ("distill", recipe, "--dry-run", "--seeds", "3,4")
    code, out, err = command(*arguments)
    assert code == 0, err
    assert "# the same with `name: tiny-seed4`, `seed: 4`" in out
    assert [line.split()[0] for line in out.splitlines() if "mld, live" in line] == ["tiny-seed3", "tiny-seed4"]
    assert out.count("room for replacing last.ckpt") == 1
    code, out, err = command(*arguments, "--json")
    assert code == 0, err
    first, second = json.loads(out)
    assert (first["recipe"]["seed"], second["recipe"]["seed"]) == (3, 4)
    assert first["estimated_seconds"] == second["estimated_seconds"]


@pytest.mark.parametrize("option", ["--task", "--jobs"])
def test_sub_tasks_are_planned_as_a_whole(recipe, command, option):
    code, _, err = command("distill", recipe, "--dry-run", option, "1")
    assert code == 2
    assert f"leave {option} away" in err


def test_a_mistake_in_the_recipe_is_one_line(recipe, command):
    code, out, err = command("run", recipe, "train.epochs=0", "--dry-run")
    assert (code, out) == (2, "")
    assert "`student.train.epochs`: expected `int` >= 1" in err
    code, out, err = command("run", recipe, "export.opset=17", "--dry-run")
    assert (code, out) == (2, "")
    assert "`export.opset`: opset 17: PyTorch writes 18 and newer" in err


def test_several_processes_are_refused(recipe, command, monkeypatch):
    monkeypatch.setattr("edgedistill.cli.dry_run.process_count", lambda: 2)
    code, _, err = command("distill", recipe, "--dry-run")
    assert code == 2
    assert "without torchrun" in err


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (999, "999"),
        (1204, "1.20 k"),
        (362_292, "362 k"),
        (3_504_872, "3.50 M"),
        (300_774_272, "301 M"),
        (78e8, "7.80 G"),
    ],
)
def test_counts_have_three_digits(number, words):
    assert count(number) == words


def test_what_is_half_there_and_a_full_disk_are_told():
    plan = Plan(
        command="run",
        name="tiny",
        folder="runs/tiny",
        base="/",
        recipe={},
        device="cpu",
        cores=2,
        load_average=3.14,
        size=(224, 224),
        classes=80,
        splits=(PlannedSplit(part="train", name="photos", images=82081),),
        models=(
            PlannedModel(
                role="student",
                name="m",
                parameters=3,
                macs=4,
                training_parameters=5,
                mean=(0.5, 0.5, 0.5),
                std=IMAGENET_STD,
                other_inputs="240x240 px",
            ),
        ),
        trainings=(
            PlannedTraining(
                role="sub-tasks",
                method="labels",
                folder="runs/tiny/tasks",
                count=10,
                finished=3,
                epochs=20,
                epochs_done=60.5,
                steps=4000,
                step_seconds=0.25,
                bound="data",
                estimated_seconds=7200.0,
                parts=(
                    PlannedPart(
                        part="head",
                        below_head=None,
                        parameters=2048,
                        lr=0.0123,
                        weight_decay=1e-4,
                        freeze_epochs="all",
                    ),
                    PlannedPart(
                        part="backbone", below_head=3, parameters=512, lr=0.001, weight_decay=0.0, freeze_epochs=2
                    ),
                ),
                notes=("something is open",),
            ),
        ),
        kept=(
            Kept(what="weights", where="disk", path="runs/tiny/tasks", bytes=4_000_000, present_bytes=1_000_000),
            Kept(what="decoded images", where="memory", path=None, bytes=9_000_000_000),
        ),
        estimated_seconds=7200.0,
        missing_bytes=3_000_000,
        free_bytes=1_000_000,
    )
    console = Console(width=160)
    with console.capture() as captured:
        plan_tables([plan], console)
    told = captured.get()
    assert "82,081 training images; 80 classes" in told
    assert "teachers of sub-tasks (10)" in told
    assert "about 2 h 0 min for the 140 epochs left" in told
    assert "4,000" in told
    assert "something is open" in told
    assert "0.5 / ImageNet's" in told
    assert "student: its library's weights learned on other images (240x240 px)" in told
    rows = [line.split() for line in told.splitlines() if line.startswith("teachers of sub-tasks  ")]
    assert rows[0][3:] == ["head", "2.05", "k", "0.0123", "0.0001", "always"]
    assert rows[1][3:] == ["backbone,", "3", "below", "the", "head", "512", "0.001", "-", "2", "epochs"]
    assert "3.0 MB more of 1.0 MB free" in told
    assert "the disk is too small: 2.0 MB are lacking for runs/tiny" in told
    assert "25 %" in told
    assert "other work wanted 3.1 of 2 cores" in told
    assert "in memory" in told
