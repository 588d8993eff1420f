"""The teacher's quality before a student is taught: what stops a run, and what lets it go on."""

from itertools import permutations

import numpy as np
import pytest

from edgedistill.distill.engine import Outputs
from edgedistill.distill.experiment.quality import Quality, chance_map, quality_of, require_quality
from edgedistill.runtime import metrics
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import ConfigError


def quality(mean_ap, low=None, high=None, chance=20.0):
    return Quality(of="", images=100, mAP=mean_ap, low=low, high=high, chance=chance)


def outputs(scores, labels):
    count = len(labels)
    images = np.zeros((count, 1, 1, 3), np.uint8)
    data = Dataset("v", tuple("abc"), tuple(map(str, range(count))), images, labels)
    return Outputs(scores.astype(np.float32), data, [], data, np.arange(count))


def test_chance_is_the_mean_over_all_orders_of_the_images():
    labels = np.array([[1, 0, -1], [0, 1, -1], [1, 0, 1], [0, 0, 0], [0, -1, 1], [0, 0, 1]], np.int8)
    orders = np.array(list(permutations(range(6))), np.float64)
    found = np.mean([metrics.evaluate(np.tile(order[:, None], 3) / 10, labels)["mAP"] for order in orders])
    assert chance_map(labels) == pytest.approx(found, abs=1e-9)


def test_random_weights_are_found_and_a_good_teacher_is_not_stopped():
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 3)) < 0.2).astype(np.int8)
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=labels.shape)
        with pytest.raises(
            ConfigError, match=r"recipe: the teacher is no better than chance, .*: validation mAP .*accept: true"
        ):
            require_quality(quality_of(outputs(noise, labels)), None, "recipe")
        require_quality(quality_of(outputs(noise + labels, labels)), None, "recipe")


@pytest.mark.parametrize(
    ("teacher", "start", "message"),
    [
        (quality(30.0, 21.0, 39.0), None, None),
        (quality(30.0, 19.0, 41.0), None, "no better than chance"),
        (quality(30.0), None, None),  # too few images for an interval
        (quality(19.0), None, "no better than chance"),
        (quality(50.0, 45.0, 55.0), quality(54.0), None),
        (quality(50.0, 45.0, 55.0), quality(56.0), "knows more before its training than the teacher: 56.00 against"),
        (quality(50.0), quality(51.0), "knows more before"),
    ],
)
def test_what_stops_a_run(teacher, start, message):
    if message is None:
        require_quality(teacher, start, "recipe")
        return
    with pytest.raises(ConfigError, match=message):
        require_quality(teacher, start, "recipe")


def test_the_command_line_stops_and_goes_on_where_it_is_accepted(cpsd_recipe, command, tmp_path):
    """Scores that are the same for every image rank nothing."""
    ids = [f"{split}{number}.png" for split, count in (("train", 64), ("test", 12)) for number in range(count)]
    rng = np.random.default_rng(3)
    scores = tmp_path / "scores.npz"
    np.savez(scores, ids=np.array(ids), scores=rng.normal(size=(len(ids), 6)))
    given = (cpsd_recipe, f"output={tmp_path}", "tasks=null", "method=mld", "train.epochs=1")
    code, _, err = command("distill", *given, f"teacher={{scores: {scores}, scale: logits}}")
    assert code == 2
    assert err.count("\n") < 6
    assert "the teacher is no better than chance" in err
    assert not (tmp_path / "cpsd" / "student").exists()
    code, _, err = command("distill", *given, f"teacher={{scores: {scores}, scale: logits, accept: true}}")
    assert code == 0, err
    assert "teacher: validation mAP" in err


def test_a_student_that_cannot_begin_is_told_before_its_teacher_is_trained(cpsd_recipe, command, tmp_path):
    """As where its library cannot fetch its weights."""
    (tmp_path / "own.pth").write_bytes(b"no weights")
    model = f"{{name: shufflenetv2, width: 0.5, pretrained: {tmp_path}/own.pth}}"
    changes = [f"output={tmp_path}", "tasks=null", "method=mld", f"student.model={model}"]
    teacher = "teacher={model: {name: tiny}, train: {epochs: 1}}"
    code, _, err = command("distill", cpsd_recipe, *changes, teacher)
    assert code == 2
    assert err.count("\n") == 1
    assert "own.pth: is no file of plain tensors" in err
    assert [path.name for path in tmp_path.iterdir()] == ["own.pth"]
