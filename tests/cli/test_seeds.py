"""`--seeds` and KEY=VALUE as a user types them, on a few JPEGs listed in a CSV; and the statistics by hand."""

import io
import json
import math
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console
from safetensors.numpy import load_file

from edgedistill.cli.recipe_arguments import parse_seeds
from edgedistill.cli.seeds_table import seeds_table
from edgedistill.distill.engine.step import Step
from edgedistill.distill.study.seeds import ModelOverSeeds, SeedRun, SeedsReport, paired_gain
from edgedistill.distill.study.spread import spread
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = {"name": "timm/test_efficientnet"}
CHANGES = ("train.epochs=1", "method.lambda_mld=5")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, tinted_photographs) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    tinted_photographs(folder, size=(32, 32), noise=200, tint=50)
    content = {
        "name": "tiny",
        "output": str(folder / "runs"),
        "data": {
            "train": {"format": "csv", "path": "train.csv"},
            "test": {"format": "csv", "path": "test.csv"},
            "validation": 0.25,
        },
        "input": {"size": 32},
        "teacher": {"model": NETWORK, "train": {"epochs": 1, "batch_size": 12}, "accept": True},
        "student": {"model": NETWORK, "train": {"epochs": 3, "batch_size": 12}},
        "method": "mld",
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def distilled(recipe, command):
    """`distill` under two seeds, done; the report it printed."""
    code, out, err = command("distill", recipe, *CHANGES, "--seeds", "0,1", "--json")
    assert code == 0, err
    return json.loads(out)


def test_distill_reports_every_seed_and_stores_what_was_changed(recipe, distilled):
    runs = recipe.parent / "runs"
    assert json.loads((runs / "tiny.seeds.json").read_text()) == distilled
    assert [run["seed"] for run in distilled["runs"]] == [0, 1]
    assert distilled["assignments"] == ["train.epochs=1", "method.lambda_mld=5"]
    assert [model["role"] for model in distilled["models"]] == ["teacher", "student"]
    for model in distilled["models"]:
        for found in (model["validation"], model["test"]):
            first, second = found["values"]
            assert found["mean"] == pytest.approx((first + second) / 2)
            assert found["deviation"] == pytest.approx(abs(first - second) / math.sqrt(2))
    for seed in (0, 1):
        stored = yaml.safe_load((runs / f"tiny-seed{seed}" / "recipe.yaml").read_text())
        assert (stored["name"], stored["seed"], stored["student"]["train"]["epochs"]) == (f"tiny-seed{seed}", seed, 1)
        assert stored["method"] == {"name": "mld", "lambda_mld": 5}


def test_a_seed_of_several_is_the_run_of_that_seed_alone(recipe, distilled, command):
    """Nothing of one seed's run may leak into the next."""
    code, out, err = command("distill", recipe, *CHANGES, "seed=1", "name=alone", "--json")
    assert code == 0, err
    alone = json.loads(out)
    student = distilled["models"][1]
    assert alone["validation"]["mAP"] == student["validation"]["values"][1]
    together = load_file(recipe.parent / "runs" / "tiny-seed1" / "student" / "student.safetensors")
    for name, weights in load_file(alone["checkpoint"]).items():
        assert np.array_equal(weights, together[name]), name
    code, out, err = command("evaluate", recipe, "seed=1", "name=alone", "--json")
    assert code == 0, err
    assert json.loads(out)["mAP"] == student["test"]["values"][1]


def test_the_same_command_again_repeats_nothing_and_other_settings_are_refused(recipe, distilled, command):
    runs = recipe.parent / "runs"
    before = {path: path.stat().st_mtime_ns for path in runs.glob("tiny-seed*/*/*.safetensors")}
    assert len(before) == 4
    code, out, err = command("distill", recipe, *CHANGES, "--seeds", "1")
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "one seed, which has no deviation" in out
    assert json.loads((runs / "tiny.seeds.json").read_text())["models"][0]["test"]["deviation"] is None
    code, _, err = command("distill", recipe, *CHANGES, "train.epochs=2", "--seeds", "1")
    assert code == 2
    assert "belongs to another recipe" in err


def test_ctrl_c_keeps_the_finished_seeds(recipe, command, monkeypatch):
    changes = ("teacher=null", "method=vanilla", "name=stopped", "train.epochs=1", "train.workers=0")
    arguments = ("distill", recipe, *changes, "--seeds", "0,1")
    runs = recipe.parent / "runs"
    step = Step.__call__

    def interrupted(self, pieces, context):
        if (runs / "stopped-seed1").exists() and context.step == 1:
            signal.raise_signal(signal.SIGINT)
        return step(self, pieces, context)

    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", interrupted)
        code, _, err = command(*arguments)
    assert code == 130, err
    assert "The same command continues" in err
    assert not (runs / "stopped.seeds.json").exists()
    finished = runs / "stopped-seed0" / "student" / "student.safetensors"
    before = finished.stat().st_mtime_ns
    code, out, err = command(*arguments, "--json")
    assert code == 0, err
    assert finished.stat().st_mtime_ns == before
    assert len(json.loads(out)["models"][0]["test"]["values"]) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,,1", "--seeds 0,,1: '' is no seed; give whole numbers from 0, as in --seeds 0,1,2."),
        ("", "'' is no seed"),
        ("a", "'a' is no seed"),
        ("0,-1", "'-1' is no seed"),
        ("1.5", "'1.5' is no seed"),
        ("²", "'²' is no seed"),
        ("0,1,00", "--seeds 0,1,00: 0 appears twice; a seed counts once."),
    ],
)
def test_a_bad_list_of_seeds(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_seeds(text)
    assert message in str(caught.value)


def test_a_list_of_seeds_keeps_its_order():
    assert parse_seeds("2, 0,10") == (2, 0, 10)
    with pytest.raises(ConfigError, match="contradicts `seed=`"):
        parse_seeds("0,1", ["train.epochs=1", "seed=3"])


@pytest.mark.parametrize("arguments", [("--seeds", "0,,1"), ("epochs",), ("train.epochs=ten", "--seeds", "0")])
def test_a_mistake_is_one_line(recipe, command, arguments):
    code, out, err = command("distill", recipe, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_mean_deviation_and_paired_gain_by_hand():
    found = spread([60.0, 62.0, 67.0])
    assert found.mean == 63.0
    assert found.deviation == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    assert spread([60.0]).deviation is None
    nothing = spread([60.0, math.nan])
    assert nothing.values == (60.0, None)
    assert nothing.mean is nothing.deviation is None
    models = [
        ModelOverSeeds(role="baseline", test=spread([58.0, 61.0, 64.0])),
        ModelOverSeeds(role="student", test=found),
    ]
    gain = paired_gain(models)
    assert gain.differences == (2.0, 1.0, 3.0)
    half = 4.302653 / math.sqrt(3)  # t(0.975, 2) s / sqrt(n), s = 1
    assert (gain.interval.low, gain.interval.high) == pytest.approx((2 - half, 2 + half), rel=1e-6)
    assert paired_gain(models[1:]) is None
    assert paired_gain([models[0], ModelOverSeeds(role="student", test=spread([1.0, 2.0, math.nan]))]) is None


def test_the_table_shows_what_is_not_there_as_a_dash():
    console = Console(width=160, file=io.StringIO())
    models = (
        ModelOverSeeds(role="baseline", test=spread([58.0])),
        ModelOverSeeds(role="student", test=spread([60.0]), validation=spread([math.nan])),
    )
    report = SeedsReport(
        name="x",
        command="run",
        assignments=(),
        test="test [b]",
        runs=(SeedRun(seed=7, folder="f"),),
        models=models,
        gain=paired_gain(models),
    )
    seeds_table(report, Path("runs/x.seeds.json"), console)
    lines = console.file.getvalue().splitlines()
    assert "test [b] (one seed, which has no deviation; per seed: test mAP)" in lines[1]
    assert lines[2].split() == ["model", "validation", "mAP", "test", "mAP", "seed", "7"]
    assert lines[3].split() == ["student,", "no", "teacher", "-", "58.00", "58.00"]
    assert lines[4].split() == ["student,", "distilled", "-", "60.00", "60.00"]
    assert lines[5].startswith("distillation: +2.00 mAP points")
    assert "interval" not in lines[5]
