"""KD in both forms, and PS, against plain loops in double precision."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.distill import losses
from edgedistill.distill.methods import TrainingContext, build_method, values
from edgedistill.distill.models.output import ModelOutput

f64 = torch.float64
CONTEXT = TrainingContext(epoch=0, step=0, total_steps=10)
PAIR = {"softmax": losses.softmax_kl, "binary": losses.binary_kl}

Row = list[float]


def log_softmax(row: Row) -> Row:
    top = max(row)
    total = top + math.log(math.fsum(math.exp(z - top) for z in row))
    return [z - total for z in row]


def divergence(log_p: Row, log_q: Row) -> float:
    return math.fsum(math.exp(p) * (p - q) for p, q in zip(log_p, log_q, strict=True))


def loop_softmax(student: list[Row], teacher: list[Row], targets: list[list[int]], temperature: float) -> float:
    total = 0.0
    for s, t, y in zip(student, teacher, targets, strict=True):
        known = [i for i in range(len(y)) if y[i] >= 0]
        if known:
            total += divergence(*(log_softmax([z[i] / temperature for i in known]) for z in (t, s)))
    return total


def loop_binary(student: list[Row], teacher: list[Row], targets: list[list[int]], temperature: float) -> float:
    total = 0.0
    for s, t, y in zip(student, teacher, targets, strict=True):
        for i in range(len(y)):
            if y[i] >= 0:  # a softmax of a logit and 0 is its sigmoid
                total += divergence(*(log_softmax([z[i] / temperature, 0.0]) for z in (t, s))) / len(y)
    return total


LOOPS = {"softmax": loop_softmax, "binary": loop_binary}


def logits(seed: int, shape=(6, 5), scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=f64)


def labels(seed: int, shape=(6, 5)) -> torch.Tensor:
    y = torch.randint(-1, 2, shape, generator=torch.Generator().manual_seed(seed)).to(torch.int8)
    y[0], y[1] = -1, 1  # nothing known, all positive
    return y


each = pytest.mark.parametrize("form", PAIR)


@each
@given(
    seed=st.integers(0, 10_000), images=st.integers(2, 5), classes=st.integers(1, 6), temperature=st.floats(0.5, 8.0)
)
@settings(max_examples=40, deadline=None)
def test_equals_the_loop(form, seed, images, classes, temperature):
    shape = (images, classes)
    s, t, y = logits(seed, shape), logits(seed + 1, shape), labels(seed, shape)
    expected = LOOPS[form](s.tolist(), t.tolist(), y.tolist(), temperature)
    total = PAIR[form](s, t, y, temperature, "sum")
    assert total.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    torch.testing.assert_close(PAIR[form](s, t, y, temperature), total / images)


@each
def test_no_targets_is_all_known(form):
    s, t = logits(0), logits(1)
    torch.testing.assert_close(PAIR[form](s, t), PAIR[form](s, t, torch.zeros(6, 5, dtype=torch.int8)))


@pytest.mark.parametrize("dtype", [torch.float32, f64])
def test_the_gradient_is_the_difference_of_probabilities_at_60(dtype):
    s = torch.tensor([[60.0, -60.0, 60.0, -60.0]], dtype=dtype, requires_grad=True)
    t = torch.tensor([[-60.0, 60.0, 60.0, -60.0]], dtype=dtype)
    for temperature in (1.0, 3.0):
        for loss, of, share in ((losses.softmax_kl, lambda z: z.softmax(1), 1), (losses.binary_kl, torch.sigmoid, 4)):
            value = loss(s, t, temperature=temperature)
            (gradient,) = torch.autograd.grad(value, s)
            assert torch.isfinite(value)
            expected = (of(s.detach() / temperature) - of(t / temperature)) / temperature / share
            torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-7)


@each
def test_unknown_labels_and_the_teacher_get_no_gradient(form):
    s, t, y = logits(0).requires_grad_(), logits(1).requires_grad_(), labels(2)
    loss = PAIR[form](s, t, y, 2.0)
    loss.backward()
    assert t.grad is None
    assert (s.grad[y < 0] == 0).all()
    assert (s.grad[1] != 0).all()
    everything_unknown = PAIR[form](s, t, torch.full((6, 5), -1, dtype=torch.int8))
    assert everything_unknown.item() == 0
    assert torch.autograd.grad(everything_unknown, s)[0].abs().max() == 0


@each
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_logits_are_raised_before_they_are_softened(form, dtype):
    s, t, y = logits(0).to(dtype), logits(1).to(dtype), labels(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = PAIR[form](s, t, y, 3.0)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, PAIR[form](s.float(), t.float(), y, 3.0), rtol=0, atol=0)


@each
def test_other_class_lists_are_refused(form):
    with pytest.raises(ValueError, match="differ in shape"):
        PAIR[form](logits(0), logits(0, (6, 1)))


def test_golden_values():
    """Softmaxes (2/3, 1/3) of the teacher and (1/2, 1/2) of the student; probabilities 1/2 and 1/3, 1/3 and 1/3."""
    t, s = torch.tensor([[math.log(2), 0.0]], dtype=f64), torch.zeros(1, 2, dtype=f64)
    assert losses.softmax_kl(2 * s, 2 * t, temperature=2).item() == pytest.approx(
        2 / 3 * math.log(4 / 3) + math.log(2 / 3) / 3
    )
    t, s = torch.tensor([[0.0, -math.log(2)]], dtype=f64), torch.full((1, 2), -math.log(2), dtype=f64)
    assert losses.binary_kl(s, t).item() == pytest.approx((math.log(3 / 2) + math.log(3 / 4)) / 4)


def outputs() -> tuple[ModelOutput, ModelOutput]:
    student = ModelOutput(logits(0), embedding_logits=logits(3))
    return student, ModelOutput(logits(1))


@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_softmax_adds_hintons_term_to_the_supervised_loss(protocol):
    (student, teacher), y = outputs(), labels(2)
    method = build_method("kd", temperature=4.0, lambda_kd=0.5, protocol=protocol)
    terms = values(method(student, teacher, y, CONTEXT))
    assert list(terms) == ["bce", "decoder_bce", "kd"]
    reduction = "sum" if protocol == "code" else "batchmean"
    torch.testing.assert_close(terms["bce"], losses.bce(student.logits, y, reduction=reduction))
    expected = loop_softmax(student.logits.tolist(), teacher.logits.tolist(), y.tolist(), 4.0)
    assert terms["kd"].item() == pytest.approx(0.5 * 16 * expected / 6)


@pytest.mark.parametrize(("protocol", "scale"), [("paper", 1 / 6), ("code", 9 / 2)])
def test_binary_is_eq_13_of_ud_alone(protocol, scale):
    (student, teacher), y = outputs(), labels(2)
    method = build_method("kd", form="binary", protocol=protocol)
    terms = values(method(student, teacher, y, CONTEXT))
    assert list(terms) == ["decoder_bce", "kd"], "only a training-only decoder learns from the annotations"
    expected = loop_binary(student.logits.tolist(), teacher.logits.tolist(), y.tolist(), 3.0)
    assert terms["kd"].item() == pytest.approx(scale * expected)


@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_ud_without_calibration_and_attention_is_kd_in_its_binary_form(protocol):
    (student, teacher), y = outputs(), labels(2)
    ud = values(build_method("ud", alpha=0, beta=0, protocol=protocol)(student, teacher, y, CONTEXT))
    torch.testing.assert_close(
        ud["kd"], build_method("kd", form="binary", protocol=protocol)(student, teacher, y, CONTEXT)["kd"].value
    )


@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_ps_weights_the_partial_softmax(protocol):
    (student, teacher), y = outputs(), labels(2)
    terms = values(build_method("ps", lambda_ps=0.5, protocol=protocol)(student, teacher, y, CONTEXT))
    assert list(terms) == ["bce", "decoder_bce", "ps"]
    reduction = "sum" if protocol == "code" else "batchmean"
    torch.testing.assert_close(terms["bce"], losses.bce(student.logits, y, reduction=reduction))
    total = 0.0
    for s, t, row in zip(student.logits.tolist(), teacher.logits.tolist(), y.tolist(), strict=True):
        for positive in (i for i in range(5) if row[i] == 1):
            members = [positive, *(i for i in range(5) if row[i] == 0)]
            total += divergence(*(log_softmax([z[i] for i in members]) for z in (t, s)))
    assert terms["ps"].item() == pytest.approx(0.5 * total / 6)
