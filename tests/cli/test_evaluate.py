"""`evaluate` as a user types it, on networks that nobody trained: their numbers are recomputed here."""

import io
import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from edgedistill.cli.evaluation_tables import evaluation_tables
from edgedistill.distill import metrics as training_metrics
from edgedistill.distill.checkpoint import save_student
from edgedistill.distill.engine.views_at_test import views_at_test
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.experiment.evaluation import evaluate_checkpoint, finished_checkpoint
from edgedistill.distill.experiment.jobs import build_network, card_of
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime import metrics
from edgedistill.runtime.batches import decode_batches
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = {"name": "timm/test_efficientnet"}
RECIPE = {
    "name": "tiny",
    "data": {
        "train": {"format": "digit_scenes", "split": "train", "images": 40, "size": 32},
        "test": {"format": "digit_scenes", "split": "test", "images": 60, "size": 32, "difficult": "ignore"},
        "validation": 0.25,
    },
    "input": {"size": 32},
    "teacher": {"model": NETWORK, "train": {"epochs": 1}},
    "student": {"model": NETWORK, "train": {"epochs": 1}},
    "method": "mld",
}


def write_recipe(folder, **changes):
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changes, "output": str(folder / "runs")}))
    return path


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe with a student; and as its teacher the same network with the classes in the opposite order."""
    path = write_recipe(tmp_path_factory.mktemp("evaluate"))
    loaded = load_recipe(path)
    experiment = Experiment(loaded, Console(quiet=True))
    spec = loaded.recipe.student.model
    card = card_of(loaded, spec, experiment.splits.train.classes, loaded.recipe.input.preprocessing())
    model = build_network(loaded, spec, card, seed=0, console=Console(quiet=True))
    with torch.no_grad():
        model.head.linear.weight *= 20  # untrained logits hardly differ between images
    save_student(loaded.folder / "student" / "student.safetensors", model, card)
    with torch.no_grad():
        for parameter in (model.head.linear.weight, model.head.linear.bias):
            parameter.copy_(parameter.flip(0))
    turned = msgspec.structs.replace(card, classes=card.classes[::-1])
    save_student(loaded.folder / "teacher" / "teacher.safetensors", model, turned)
    other = build_network(loaded, spec, card, seed=1, console=Console(quiet=True))
    chosen = msgspec.structs.replace(card, thresholds=(0.4,) * 20)
    save_student(loaded.folder / "baseline" / "student.safetensors", other, chosen)
    return path


@pytest.fixture(scope="module")
def experiment(recipe):
    return Experiment(load_recipe(recipe), Console(quiet=True))


def found_by(command, recipe, *arguments):
    code, out, err = command("evaluate", recipe, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_every_number_is_that_of_the_outputs(recipe, experiment, command):
    got = found_by(command, recipe, "--retrieval", "7", "--top-k", "3")
    student = finished_checkpoint(experiment, "student")
    outputs = experiment.test(student)
    scores, labels = outputs.scores, outputs.dataset.labels
    expected = metrics.evaluate(scores, labels, 0.5, 3)
    assert got["mAP"] == pytest.approx(expected["mAP"])
    assert got["CF1"] == pytest.approx(expected["CF1"])
    assert got["class_names"] == list(outputs.dataset.classes)
    assert got["ECE"] == pytest.approx(100 * metrics.expected_calibration_error(scores, labels))
    assert got["classwise_ECE"] == pytest.approx(100 * metrics.classwise_calibration_error(scores, labels))
    assert sum(got["calibration"]["count"]) == (labels >= 0).sum()

    rows = (labels == -1).any(axis=1)  # `difficult: ignore` shows the marks in the labels
    assert 0 < rows.sum() < len(rows)
    assert got["difficult"]["images"] == rows.sum()
    assert got["difficult"]["mAP"] == pytest.approx(metrics.evaluate(scores[rows], labels[rows])["mAP"])

    with torch.inference_mode():
        (batch,) = decode_batches(outputs.dataset.images, student.card.preprocessing, len(labels))
        maps = student.model.backbone(student.model.normalize(torch.from_numpy(batch.images)))[-1]
    expected = training_metrics.retrieval_precision(
        training_metrics.nearest_images(maps.mean((2, 3)).numpy(), 7), labels
    )
    np.testing.assert_allclose(got["retrieval"]["precision"], expected.precision)
    assert got["teacher"] is None
    assert got["label_pairs"] == []


def test_test_time_augmentation_is_the_mean_of_the_logits_over_the_views(recipe, experiment, command):
    got = found_by(command, recipe, "--tta", "flip")
    student = finished_checkpoint(experiment, "student")
    plain = experiment.test(student)
    with torch.inference_mode():
        (batch,) = decode_batches(plain.dataset.images, student.card.preprocessing, len(plain.logits))
        mirrored = np.ascontiguousarray(batch.images[:, :, ::-1])
        mirrored_logits = student.model(student.model.normalize(torch.from_numpy(mirrored))).logits
    logits = (torch.from_numpy(plain.logits) + mirrored_logits) / 2
    expected = metrics.evaluate(logits.sigmoid().numpy(), plain.dataset.labels)
    assert got["mAP"] == pytest.approx(expected["mAP"])
    assert got["tta"] == ["flip"]
    assert expected["mAP"] != pytest.approx(metrics.evaluate(plain.scores, plain.dataset.labels)["mAP"])
    images = torch.arange(64, dtype=torch.uint8)[None, None, :, None].expand(1, 16, 64, 3)
    views = views_at_test(images, ["flip", "crops"])
    assert len(views) == 12
    assert all(view.shape == images.shape and view.dtype == torch.uint8 for view in views)
    assert torch.equal(views[6], images.flip(2))
    assert [int(view[0, 8, 32, 0]) for view in views[1:6]] == [28, 36, 28, 36, 32]  # the middles of the crops


def test_a_teacher_with_the_classes_in_another_order_is_compared_class_by_class(recipe, command):
    got = found_by(command, recipe, "--teacher", "run")
    assert got["teacher"]["mAP"] == pytest.approx(got["mAP"])
    assert got["teacher"]["mean_abs_difference"] == pytest.approx(0, abs=1e-5)
    assert len(got["label_pairs"]) == 10


def test_label_pairs_in_the_eyes_of_truth_teacher_and_model(recipe, experiment, command):
    path = experiment.folder / "baseline" / "student.safetensors"
    names = ("one_solid", "six_outline", "two_solid")
    got = found_by(command, recipe, "--teacher", path, "--labels", ", ".join(names))
    model, teacher = (experiment.test(finished_checkpoint(experiment, role)) for role in ("student", "baseline"))
    difference = training_metrics.correlation_difference(model.scores, teacher.scores)
    np.testing.assert_allclose(got["teacher"]["correlation_difference"], difference, atol=1e-9)
    off_diagonal = np.abs(difference[~np.eye(20, dtype=bool)])
    assert got["teacher"]["mean_abs_difference"] == pytest.approx(off_diagonal.mean())
    assert [tuple(pair["labels"]) for pair in got["label_pairs"]] == [
        (names[0], names[1]), (names[0], names[2]), (names[1], names[2])
    ]  # fmt: skip
    pair = got["label_pairs"][1]
    k, m = (model.dataset.classes.index(pair["labels"][end]) for end in (0, 1))
    truth = model.dataset.labels[(model.dataset.labels[:, [k, m]] >= 0).all(axis=1)].astype(float)
    for who, values in (("truth", truth), ("teacher", teacher.scores), ("model", model.scores)):
        assert pair["correlation"][who] == pytest.approx(np.corrcoef(values[:, k], values[:, m])[0, 1], abs=1e-6)
        assert pair["dependency"][who] == pytest.approx(((values[:, k] - values[:, m]) ** 2).mean(), abs=1e-6)


def test_roles_and_thresholds_from_validation(recipe, command):
    baseline = found_by(command, recipe, "--role", "baseline", "--threshold", "best")
    assert baseline["checkpoint"].endswith("baseline/student.safetensors")
    assert baseline["protocol"] == "per_class"
    teacher = found_by(command, recipe, "--role", "teacher", "--threshold", "oracle_k")
    assert teacher["checkpoint"].endswith("teacher/teacher.safetensors")
    assert teacher["class_names"][0] == baseline["class_names"][-1]


def test_the_tables_fit_100_columns(recipe, experiment, command):
    code, out, err = command("evaluate", recipe, "--retrieval", "12", "--teacher", "run")
    assert code == 0, err
    for text in ("with a difficult label", "ECE", "at 1 ", "at 12", "correlation", "differ from the teacher's by 0.0"):
        assert text in out
    evaluation = evaluate_checkpoint(
        experiment,
        finished_checkpoint(experiment, "student"),
        retrieval=59,
        teacher=finished_checkpoint(experiment, "teacher"),
    )
    drawn = io.StringIO()
    evaluation_tables(evaluation, Console(file=drawn, width=100, highlight=False))
    lines = drawn.getvalue().splitlines()
    assert any(line.startswith("label pair") for line in lines)
    assert max(len(line.rstrip()) for line in lines if str(experiment.folder) not in line) <= 100
    shown = [line.split()[0] for line in lines[-20:]]
    assert shown == [evaluation.data.classes[k] for k in np.argsort(-evaluation.found["AP"])]


def test_many_classes_stand_side_by_side(experiment):
    evaluation = evaluate_checkpoint(experiment, finished_checkpoint(experiment, "student"))
    names = tuple(f"class number {k}" for k in range(45))
    data = replace(evaluation.data, classes=names, labels=np.zeros((60, 45), np.int8), difficult=None)
    many = replace(evaluation, data=data, found={**evaluation.found, "AP": np.arange(100.0, 55.0, -1.0)})
    drawn = io.StringIO()
    evaluation_tables(many, Console(file=drawn, width=100, highlight=False))
    lines = [" ".join(line.split()) for line in drawn.getvalue().splitlines()[-15:]]
    assert lines[0] == "class number 0 100.00 class number 15 85.00 class number 30 70.00"
    assert lines[-1] == "class number 14 86.00 class number 29 71.00 class number 44 56.00"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--retrieval", "60"), "--retrieval 60: digit_scenes test has 60 images, so that 59 can be found"),
        (("--labels", "one_solid,two_sold"), "--labels: 'two_sold' is not one of the 20 classes. Did you mean"),
        (("--labels", "one_solid"), "give at least two different labels"),
        (("--labels", "one_solid,one_solid"), "give at least two different labels"),
        (("--threshold", "best"), "holds no thresholds chosen on validation images"),
        (("--threshold", "1.5"), "--threshold 1.5: give a probability from 0 to 1, `oracle_k` or `best`."),
        (("--tta", "flip,rotate"), "--tta rotate: give one or more of flip, crops"),
        (("--tta", "flip", "--retrieval", "5"), "--tta averages logits, and --retrieval reads features"),
        (("--threshold", "nan"), "--threshold nan: give a probability"),
        (("--threshold", "-3"), "--threshold -3: give a probability"),
        (("--threshold", "half"), "--threshold half: give a probability"),
        (("--teacher", "nowhere"), "nowhere: no such checkpoint"),
        (("--student", "x", "--role", "teacher"), "--student and --role both name the model"),
        (("teacher=null", "method=vanilla", "--role", "teacher"), "the recipe has no teacher"),
        (("name=new", "--role", "baseline"), "`edgedistill run RECIPE name=new baseline=true` trains it."),
        (("name=new", "teacher=null", "method=vanilla", "--role", "baseline"), "`edgedistill train RECIPE name=new"),
        (("name=new",), "no such checkpoint. `edgedistill distill RECIPE name=new` trains it."),
        (("name=new", "--role", "teacher"), "no such checkpoint. `edgedistill train RECIPE name=new` trains it."),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_a_line(recipe, command, arguments, message):
    code, _, err = command("evaluate", recipe, *arguments)
    assert code == 2
    assert message.replace("RECIPE", str(recipe)) in " ".join(err.split())


def test_teachers_that_are_not_all_trained_are_not_trained_by_looking_at_them(tmp_path):
    path = write_recipe(tmp_path, teacher=None, method={"name": "cpsd", "k": 2})
    experiment = Experiment(load_recipe(path), Console(quiet=True))
    with pytest.raises(ConfigError, match=r"its sub-teachers are not all trained; `edgedistill train"):
        finished_checkpoint(experiment, "teacher")
    assert not experiment.folder.exists()
    (experiment.folder / "tasks").mkdir(parents=True)
    with pytest.raises(ConfigError, match="not all trained"):
        finished_checkpoint(experiment, "teacher")


def test_what_a_paper_prints_stands_beside_what_was_reached(recipe, command):
    printed = "{table: 'L2D, Table 1', figures: {mAP: 72.87, OF1: 74.45}, teacher: {mAP: 73.62}, threshold: oracle_k}"
    published = f"published=[{printed}]"
    code, out, _ = command("evaluate", recipe, published)
    assert code == 0
    told = "published  L2D, Table 1: mAP 72.87  OF1 74.45 (decided by oracle_k"
    assert f"{told}, not 0.5 as above; F1 compares under evaluate --threshold oracle_k)" in out.splitlines()
    _, out, _ = command("evaluate", recipe, published, "--threshold", "oracle_k")
    assert f"{told})" in out.splitlines()
    _, out, _ = command("evaluate", recipe, published, "--role", "teacher")
    assert "published  L2D, Table 1: mAP 73.62" in out.splitlines()
    assert "published" not in command("evaluate", recipe, published, "--role", "baseline")[1]
    file = recipe.parent / "runs" / "tiny" / "student" / "student.safetensors"
    assert not found_by(command, recipe, published, "--student", file)["published"]
    assert found_by(command, recipe, published)["published"][0]["figures"]["mAP"] == 72.87
