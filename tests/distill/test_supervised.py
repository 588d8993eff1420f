"""The losses against the annotations as printed, and how a method's `supervised:` chooses one.

test_losses_edges.py holds them to what all losses keep.
"""

import math

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.distill import losses
from edgedistill.distill.methods import TrainingContext, build_method, values
from edgedistill.distill.methods.supervised import ASL, BCE, LabelSmoothing, loss_of
from edgedistill.distill.models.output import ModelOutput
from edgedistill.runtime.errors import ConfigError

f64 = torch.float64
CONTEXT = TrainingContext(epoch=0, step=0, total_steps=1)
NEW = ["pal", "softmax_targets", "label_smoothing"]
NAMES = ["bce", "asl", "focal", "pal", "label_smoothing", "softmax"]


def plain_pal(z: list[float], y: list[int]) -> float:
    """Eq. 10-11 as printed, for one image."""
    positives = [i for i, label in enumerate(y) if label == 1]
    negatives = [math.exp(z[j]) for j, label in enumerate(y) if label == 0]
    probabilities = [math.exp(z[i]) / (sum(negatives) + math.exp(z[i])) for i in positives]
    return -sum(math.log(p) for p in probabilities) / len(positives) if positives else 0.0


def plain_softmax_targets(z: list[float], y: list[int]) -> float:
    total = sum(math.exp(score) for score, label in zip(z, y, strict=True) if label >= 0)
    positives = [score for score, label in zip(z, y, strict=True) if label == 1]
    return -sum(math.log(math.exp(score) / total) / len(positives) for score in positives)


def plain_label_smoothing(z: list[float], y: list[int], epsilon: float = 1 / (1 + math.exp(9))) -> float:
    loss = 0.0
    for score, label in zip(z, y, strict=True):
        if label >= 0:
            target, p = (1 - epsilon if label else epsilon), 1 / (1 + math.exp(-score))
            loss += target * math.log(target / p) + (1 - target) * math.log((1 - target) / (1 - p))
    return loss


PLAIN = {"pal": plain_pal, "softmax_targets": plain_softmax_targets, "label_smoothing": plain_label_smoothing}


def draw(seed: int, shape: tuple[int, int] = (7, 5)) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels with an image of only positives, one of only negatives, one of only unknown labels."""
    generator = torch.Generator().manual_seed(seed)
    z = 3 * torch.randn(shape, generator=generator, dtype=f64)
    y = torch.randint(-1, 2, shape, generator=generator).to(torch.int8)
    y[0], y[1], y[2] = 1, 0, -1
    return z, y


@pytest.mark.parametrize("name", NEW)
@given(seed=st.integers(0, 1000), shape=st.sampled_from([(7, 5), (3, 1), (4, 2)]))
@settings(max_examples=10, deadline=None)
def test_values_are_those_of_plain_loops(name, seed, shape):
    z, y = draw(seed, shape)
    loss = getattr(losses, name)
    expected = [PLAIN[name](*row) for row in zip(z.tolist(), y.tolist(), strict=True)]
    assert float(loss(z, y, reduction="sum")) == pytest.approx(sum(expected), rel=1e-10)
    assert float(loss(z, y)) == pytest.approx(sum(expected) / len(z), rel=1e-10)
    for row, value in enumerate(expected):
        assert float(loss(z[row : row + 1], y[row : row + 1])) == pytest.approx(value, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, f64])
def test_gradients_are_right_at_60(dtype):
    """The first image is as wrong as can be, the second as right; the classes are (positive, positive, negative)."""
    z = torch.tensor([[-60.0, 60, 60], [60, 60, -60]], dtype=dtype, requires_grad=True)
    y = torch.tensor([[1, 1, 0], [1, 1, 0]], dtype=torch.int8)
    expected = {
        # of each positive sigmoid(z_i - z_negative) - 1, halved; of the negative minus their sum
        "pal": (120 / 2 + math.log(2) / 2, [[-0.5, -0.25, 0.75], [0, 0, 0]]),
        "softmax_targets": (60 + math.log(2) + math.log(2), [[-0.5, 0, 0.5], [0, 0, 0]]),
        "label_smoothing": (None, [[-1, 0, 1], [0, 0, 0]]),
    }
    for name, (value, gradient) in expected.items():
        loss = getattr(losses, name)(z, y, reduction="sum")
        assert torch.isfinite(loss)
        assert value is None or float(loss.detach()) == pytest.approx(value, rel=1e-6)
        tolerance = 1.3e-4 if name == "label_smoothing" else 1e-7  # its target is not quite 1
        assert torch.allclose(torch.autograd.grad(loss, z)[0], torch.tensor(gradient, dtype=dtype), atol=tolerance)


def test_half_logits_are_softened_in_full_precision():
    z, y = draw(4)
    softened = BCE(temperature=3.0)(z.bfloat16(), y, "sum")
    assert torch.equal(softened, losses.bce(z.bfloat16().float() / 3, y, reduction="sum"))


GOLDEN = {"pal": 1.520802446197, "softmax_targets": 2.005948412353, "label_smoothing": 2.946546407048}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name):
    z = torch.tensor([[1.0, -2.0, 0.5, 3.0], [-1.0, 0.0, 2.5, -0.3]], dtype=f64)
    y = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 1]], dtype=torch.int8)
    assert float(getattr(losses, name)(z, y)) == pytest.approx(GOLDEN[name], rel=1e-10)


def test_pal_of_one_positive_and_one_negative_is_a_logistic_loss_of_their_difference():
    z = torch.tensor([[0.7, -1.1]], dtype=f64)
    expected = math.log(1 + math.exp(-1.1 - 0.7))
    assert float(losses.pal(z, torch.tensor([[1, 0]]))) == pytest.approx(expected, rel=1e-12)


def test_label_smoothing_is_least_at_logits_of_plus_and_minus_9():
    z = torch.tensor([[9.0, -9.0]], dtype=f64, requires_grad=True)
    loss = losses.label_smoothing(z, torch.tensor([[1, 0]]))
    assert float(loss.detach()) == pytest.approx(0, abs=1e-15)
    assert torch.autograd.grad(loss, z)[0].abs().max() < 1e-15
    with pytest.raises(ValueError, match=r"epsilon is 0\.5"):
        losses.label_smoothing(z, torch.tensor([[1, 0]]), epsilon=0.5)


def output(*, calibrated: bool = False) -> tuple[ModelOutput, torch.Tensor]:
    z, y = draw(5)
    return ModelOutput(z.requires_grad_(), calibration_logits=z.detach().flip(1) if calibrated else None), y


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_loss_of_its_paper(name):
    student, y = output()
    loss = {"asl": losses.asymmetric, "softmax": losses.softmax_targets}.get(name) or getattr(losses, name)
    terms = values(build_method("vanilla", supervised=name)(student, None, y, CONTEXT))
    assert terms == {name: loss(student.logits, y, reduction="batchmean")}
    assert loss_of(name).name == name


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"name": "bce", "temperature": 3}, lambda z, y: losses.bce(z / 3, y)),
        ({"name": "softmax", "temperature": 2}, lambda z, y: losses.softmax_targets(z / 2, y)),
        (
            {"name": "asl", "gamma_neg": 2, "gamma_pos": 1, "clip": 0},
            lambda z, y: losses.asymmetric(z, y, gamma_neg=2, gamma_pos=1, clip=0, reduction="batchmean"),
        ),
        ({"name": "focal", "gamma": 1, "alpha": 0.5}, lambda z, y: losses.focal(z, y, gamma=1, alpha=0.5)),
        ({"name": "label_smoothing", "epsilon": 0.1}, lambda z, y: losses.label_smoothing(z, y, epsilon=0.1)),
    ],
)
def test_a_mapping_sets_its_hyper_parameters_and_is_stored_with_them(chosen, expected):
    student, y = output()
    method = build_method("vanilla", supervised=chosen)
    terms = values(method(student, None, y, CONTEXT))
    assert list(terms) == [chosen["name"]]
    torch.testing.assert_close(terms[chosen["name"]], expected(student.logits, y))
    plain = msgspec.to_builtins(method)
    assert chosen.items() <= plain["supervised"].items()
    assert build_method("vanilla", **plain) == method
    assert build_method("mld", supervised=method.supervised).supervised == method.supervised


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            "ce",
            r"`method\.supervised`: .*'ce'\. Allowed: bce, asl, focal, distribution_balanced, pal, .*",
        ),
        (
            {"name": "ce"},
            r"`method\.supervised\.name`: .*'ce'\. Allowed: bce, asl, focal, distribution_balanced, pal, .*",
        ),
        (
            {"name": "asl", "gamma": 1},
            r"`method\.supervised\.gamma`\. .*Allowed here: clip, gamma_neg, gamma_pos, temp",
        ),
        ({"gamma_neg": 1}, r"the key `method\.supervised\.name` is required"),
        ({"name": "bce", "temperature": 0}, r"`method\.supervised\.temperature`: expected `float` > 0"),
        ({"name": "label_smoothing", "epsilon": 0.5}, r"`method\.supervised\.epsilon`: expected `float` < 0\.5"),
        (None, r"`method\.supervised`: expected"),
    ],
)
def test_mistakes_are_named(chosen, message):
    with pytest.raises(ConfigError, match=message):
        build_method("vanilla", supervised=chosen)


@pytest.mark.parametrize("reduction", ["batchmean", "sum"])
def test_a_calibration_branch_learns_by_pal_at_a_tenth(reduction):
    student, y = output(calibrated=True)
    method = build_method("vanilla", supervised="asl", reduction=reduction)
    named = method(student, None, y, CONTEXT)
    terms = values(named)
    assert list(terms) == ["asl", "calibration_pal"]
    torch.testing.assert_close(terms["calibration_pal"], 0.1 * losses.pal(student.calibration_logits, y, reduction))
    assert named["calibration_pal"].reduction == reduction
    heavier = values(build_method("vanilla", lambda_calibration=0.3)(student, None, y, CONTEXT))
    torch.testing.assert_close(heavier["calibration_pal"], 0.3 * losses.pal(student.calibration_logits, y))


def test_kd_by_class_drops_the_heads_term_whatever_it_is():
    student, y = output(calibrated=True)
    method = build_method("kd", form="binary", supervised={"name": "asl", "clip": 0.1})
    assert list(method(student, ModelOutput(student.logits.detach()), y, CONTEXT)) == ["calibration_pal", "kd"]


def test_defaults_are_the_papers():
    assert ASL() == ASL(gamma_neg=4.0, gamma_pos=0.0, clip=0.05, temperature=1.0)
    assert math.log(1 / LabelSmoothing().epsilon - 1) == pytest.approx(9)
    assert build_method("cpsd").supervised == "asl"
    assert {build_method(name).supervised for name in ("vanilla", "mld", "l2d", "mdkd")} == {"bce"}
