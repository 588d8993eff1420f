"""`run`, its steps one at a time, and Ctrl-C in the middle: the chain as a user runs it."""

import json
import re
import signal
from pathlib import Path

import msgspec
import pytest
import yaml
from msgspec.structs import replace
from PIL import Image

from edgedistill.distill.data.digit_scenes import CLASSES, generate
from edgedistill.distill.engine.progress import TrainingProgress
from edgedistill.run_summary import RunSummary
from edgedistill.runtime.verdicts import judge_at_most

pytestmark = pytest.mark.usefixtures("one_thread", "traced_once", "short_bench")

RECIPE = {
    "name": "tiny",
    "data": {
        "train": {"format": "digit_scenes", "split": "train", "images": 96, "size": 32},
        "test": {"format": "digit_scenes", "split": "test", "images": 40, "size": 32},
        "validation": 0.25,
    },
    "input": {"size": 32},
    "teacher": {
        "model": {"name": "timm/test_resnet"},
        "train": {"epochs": 1, "batch_size": 16, "lr": 0.001},
        "accept": True,
    },
    "student": {
        "model": {"name": "tiny"},
        "train": {"epochs": 2, "batch_size": 16, "lr": 0.001, "augment": ["shift", "cutout"]},
    },
    "method": "mdkd",
    "baseline": True,
    "export": {"targets": ["target.yaml"], "bench": "demo", "selftest_images": 2},
}
# No mAP gate: two epochs leave scores so close together that rounding reorders images.
TARGET = {"backend": "onnxruntime", "precision": "fp32", "threads": 1, "gates": {"max_bytes": 100_000_000}}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    (folder / "target.yaml").write_text(yaml.safe_dump(TARGET))
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "output": str(folder / "runs")}))
    return path


@pytest.fixture(scope="module")
def finished(recipe, command):
    """The chain, run once: what the command gave, and the run's folder."""
    return command("run", recipe), recipe.parent / "runs" / "tiny"


def test_run_ends_with_a_table_and_a_bundle(finished):
    (code, out, err), folder = finished
    assert code == 0, err
    for text in ("student, no teacher", "student, distilled", "distillation:", "onnxruntime", "edgedistill verify"):
        assert text in out.replace("target ", "onnxruntime ")
    summary = json.loads((folder / "summary.json").read_text())
    assert [model["role"] for model in summary["models"]] == ["teacher", "baseline", "student"]
    (artifact,) = summary["parity"]["artifacts"]
    assert artifact["verdict"] == "passed"
    assert artifact["max_abs_logit"] <= 1e-3
    assert summary["parity"]["images"] == 40
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["method"] == "mdkd"
    (built,) = json.loads((folder / "bundle" / "manifest.json").read_text())["artifacts"]
    point = built["operating_point"]
    assert (point["rule"], point["images"], len(point["thresholds"])) == ("best_f1", 24, 20)
    assert "validation part" in point["dataset"]
    assert f"All of it as one page: {folder / 'bundle' / 'report.html'}" in out
    manifest = json.loads((folder / "bundle" / "manifest.json").read_text())
    told = [(one["role"], one["taught_by"], one["mAP"]) for one in manifest["lineage"]["networks"]]
    assert told == [(one["role"], one["method"], one["mAP"]) for one in summary["models"]]
    assert manifest["lineage"]["images"] == 40
    page = (folder / "bundle" / "report.html").read_text(encoding="utf-8")
    for text in ("Student, alone", f"{summary['models'][2]['mAP']:.2f}", "mdkd"):
        assert text in page


def test_run_again_repeats_nothing(finished, recipe, command):
    _, folder = finished
    kept = [folder / "teacher" / "teacher.safetensors", folder / "bundle" / "manifest.json"]
    before = [path.stat().st_mtime_ns for path in kept]
    code, out, err = command("run", recipe, "--json")
    assert code == 0, err
    assert "epoch" not in err.replace("epochs", "")
    assert [path.stat().st_mtime_ns for path in kept] == before
    summary = json.loads(out)
    assert summary["name"] == "tiny"
    assert summary["verdict"] == "passed"
    assert summary["verdicts"] == {"target": "passed"}  # its latency has no gate


def test_the_bundle_stands_alone(finished, command):
    _, folder = finished
    photo = folder / "bundle" / "selftest" / "00.jpg"
    assert command("selftest", folder / "bundle")[0] == 0
    assert photo.name in command("predict", folder / "bundle", photo)[1]
    told = command("inspect", folder / "bundle")[1]
    for text in ("thresholds", "best_f1", "temperature", "ECE before", "(validation part)"):
        assert text in told
    _, out, _ = command("verify", folder / "bundle", "--data", folder / "test" / "labels.csv", "--json")
    report = json.loads(out)
    assert report["reference"]["source"] == "the training framework, stored at export"
    assert report["artifacts"][0]["max_abs_logit"] <= 1e-3


def test_the_steps_one_at_a_time(finished, recipe, command, tmp_path):
    _, folder = finished
    assert "teacher.safetensors: validation mAP" in command("train", recipe)[1]
    assert "student.safetensors: validation mAP" in command("distill", recipe)[1]
    found = json.loads(command("evaluate", recipe, "--threshold", "oracle_k", "--json")[1])
    assert found["protocol"] == "oracle_k"
    assert len(found["AP"]) == 20
    student, labels = folder / "student" / "student.safetensors", folder / "test" / "labels.csv"
    layers = json.loads(command("inspect", student, "--json")[1])["layers"]
    assert sorted(layers, key=lambda layer: layer["after"]["snr"]) == layers
    assert layers[0]["name"] in command("inspect", student)[1]
    code, out, err = command(
        "export", student, "-t", recipe.parent / "target.yaml", "--data", labels, "-o", tmp_path / "bundle", "--zip"
    )
    assert code == 0, err
    assert "verified" in out
    verified = json.loads(command("verify", tmp_path / "bundle.zip", "--data", labels, "--json")[1])
    assert verified["reference"]["stored"]
    assert verified["passed"]
    assert command("selftest", tmp_path / "bundle.zip")[0] == 0


def test_int8_is_exported_once_calibrated_on_a_folder(finished, command, tmp_path, caplog):
    _, folder = finished
    student, labels, out = folder / "student" / "student.safetensors", folder / "test" / "labels.csv", tmp_path / "b"
    photos = tmp_path / "photos"
    photos.mkdir()
    training = generate("train", 13, size=48)
    scenes, rows = training.images, ["path,labels"]
    for i, scene in enumerate(scenes[:12]):
        Image.fromarray(scene).save(photos / f"{i}.png")
        shown = [name for name, label in zip(CLASSES, training.labels[i], strict=True) if label]
        rows.append(f"photos/{i}.png,{';'.join(shown)}")
    (tmp_path / "val.csv").write_text("\n".join(rows))
    export = ["export", student, "-t", "onnxruntime-cpu-int8", "--data", labels, "--calibration", photos, "-o", out]
    export += ["--validation", tmp_path / "val.csv", "--validation-images", "2", "--thresholds", "recall=0.9"]
    code, told, err = command(*export)
    assert code == 0, err
    assert "val: 9 of its 12 images measure int8's ranges" in caplog.text
    assert "verified" in told
    assert re.search(r"(\d+) of \1 convolutions in int8", told), told
    made = (out / "manifest.json").stat().st_mtime_ns
    manifest = json.loads((out / "manifest.json").read_text())
    record, point = manifest["calibration"], manifest["artifacts"][0]["operating_point"]
    assert (record["images"], record["held_out_images"]) == (9, 3)
    assert (point["rule"], point["images"], point["dataset"]) == ("recall=0.9", 2, "val")
    assert "recall=0.9" in told

    code, told, err = command(*export)
    assert code == 0, err
    assert "is what this command makes: nothing to do" in err.replace("\n", " ")
    assert (out / "manifest.json").stat().st_mtime_ns == made
    Image.fromarray(scenes[12]).save(photos / "0.png")  # another picture of that name
    assert "nothing to do" not in command(*export)[2]
    assert (out / "manifest.json").stat().st_mtime_ns > made


def test_a_changed_recipe_does_not_continue_the_old_run(finished, recipe, command):
    changed = recipe.with_name("changed.yaml")
    content = yaml.safe_load(recipe.read_text())
    content["student"]["train"]["lr"] = 0.002
    changed.write_text(yaml.safe_dump(content))
    code, _, err = command("distill", changed)
    assert code == 2
    assert "belongs to another recipe" in err
    assert "Traceback" not in err


def test_seeds_go_on_after_a_missed_gate_and_pair_the_gain(finished, recipe, command, monkeypatch):
    """The finished chain stands for two seeds' runs, with other accuracies and a gate that the first one misses."""
    _, folder = finished
    real = msgspec.json.decode((folder / "summary.json").read_bytes(), type=RunSummary)
    mean_ap = {"teacher": (70, 72), "baseline": (50, 51), "student": (52, 56)}

    class Finished:
        def __init__(self, loaded, console):
            self.seed, self.name = loaded.recipe.seed, loaded.recipe.name

        def run(self):
            first = self.seed == 3
            gate = judge_at_most("max_bytes", 2.0, 1.0 if first else 3.0, what="size", unit="bytes")
            (artifact,) = real.parity.artifacts
            judged = replace(artifact, gates=(gate,), verdict=gate.verdict)
            parity = replace(real.parity, artifacts=(judged,))
            models = tuple(replace(model, mAP=mean_ap[model.role][0 if first else 1]) for model in real.models)
            return replace(real, name=self.name, parity=parity, models=models)

    monkeypatch.setattr("edgedistill.seeds.Chain", Finished)
    code, out, _ = command("run", recipe, "--seeds", "3,4")
    assert code == 1
    assert "failed  seed 3: target: size 2 bytes, above 1 bytes." in out
    assert "seed 4: " not in out
    assert "71.00 ± 1.41" in out
    # t(0.975, 1) = 12.7062; the differences 2 and 5 have s = 2.1213, so half the interval is 19.06
    assert "+3.50 mAP points over the same student without a teacher, 95 % Student-t interval" in out
    assert "[-15.56, 22.56]" in out
    report = json.loads((folder.parent / "tiny.seeds.json").read_text())
    assert [(run["seed"], run["verdict"]) for run in report["runs"]] == [(3, "failed"), (4, "passed")]
    assert [Path(run["folder"]).name for run in report["runs"]] == ["tiny-seed3", "tiny-seed4"]
    assert report["gain"]["differences"] == [2.0, 5.0]


def test_ctrl_c_is_told_and_the_same_command_continues(recipe, command, monkeypatch):
    arguments = ("train", recipe, "name=interrupted", "teacher.train.epochs=2")
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "epoch", lambda *_: signal.raise_signal(signal.SIGINT))
        code, _, err = command(*arguments)
    assert code == 130, err
    assert "The same command continues" in err
    assert "Traceback" not in err
    code, _, err = command(*arguments)
    assert code == 0, err
    assert "epoch 2/2" in err
    assert "epoch 1/2" not in err
    metrics = recipe.parent / "runs" / "interrupted" / "teacher" / "metrics.jsonl"
    assert [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()] == [0, 1]
