"""bce, asymmetric, mld, mse and partial_softmax against plain references."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.distill import losses

f64 = torch.float64


def logits(seed: int, shape=(6, 5), scale: float = 3.0, dtype=f64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=f64).mul(scale).to(dtype)


def labels(seed: int, shape=(6, 5), *, unknown: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-1 if unknown else 0, 2, shape, generator=generator).to(torch.int8)


def with_targets(name: str):
    """A loss as a function of (student, teacher, targets, reduction), for tests common to all."""
    return {
        "bce": lambda s, t, y, r: losses.bce(s, y, reduction=r),
        "asymmetric": lambda s, t, y, r: losses.asymmetric(s, y, reduction=r),
        "mld": lambda s, t, y, r: losses.mld(s, t, y, reduction=r),
        "mse": lambda s, t, y, r: losses.mse(s, t, y, reduction=r),
    }[name]


ALL = ["bce", "asymmetric", "mld", "mse"]


def test_bce_equals_torch():
    z, y = logits(0), labels(1)
    expected = F.binary_cross_entropy_with_logits(z, y.double(), reduction="none")
    torch.testing.assert_close(losses.bce(z, y, reduction="none"), expected)
    torch.testing.assert_close(losses.bce(z, y), expected.sum() / len(z))
    torch.testing.assert_close(losses.bce(z, y, reduction="sum"), expected.sum())
    torch.testing.assert_close(losses.bce(z, y, reduction="mean"), expected.mean())


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_asymmetric_equals_its_definition(clip):
    z, y = logits(0), labels(1)
    total = 0.0
    for score, label in zip(z.flatten().tolist(), y.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-score))
        shifted = max(p - clip, 0.0)
        total += -((1 - p) ** 1.5) * math.log(p) if label else -(shifted**4) * math.log(1 - shifted)
    actual = losses.asymmetric(z, y, gamma_neg=4, gamma_pos=1.5, clip=clip)
    assert float(actual) == pytest.approx(total, rel=1e-12)


def test_asymmetric_focusing_weights_carry_no_gradient():
    z, y = logits(0, (1, 1)).requires_grad_(), torch.zeros(1, 1, dtype=torch.int8)
    losses.asymmetric(z, y, clip=0.0).backward()
    p = z.detach().sigmoid()
    torch.testing.assert_close(z.grad, p**4 * p)


def test_mld_is_the_binary_divergence():
    s, t = logits(0), logits(1)
    q, p = s.sigmoid(), t.sigmoid()
    expected = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(losses.mld(s, t), expected.sum() / len(s))


@given(
    zs=st.floats(-60, 60, allow_subnormal=False),
    zt=st.floats(-60, 60, allow_subnormal=False),
    dtype=st.sampled_from([torch.float32, f64]),
)
@settings(deadline=None)
def test_mld_gradient_is_the_difference_of_probabilities(zs, zt, dtype):
    s = torch.tensor([[zs]], dtype=dtype, requires_grad=True)
    t = torch.tensor([[zt]], dtype=dtype)
    loss = losses.mld(s, t)
    loss.backward()
    assert torch.isfinite(loss)
    assert loss >= -1e-5
    torch.testing.assert_close(s.grad, s.detach().sigmoid() - t.sigmoid(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_finite_with_finite_gradients_at_60(name):
    z = torch.tensor([[60.0, -60.0, 60.0, -60.0]], requires_grad=True)
    teacher = torch.tensor([[-60.0, 60.0, 60.0, -60.0]])
    loss = with_targets(name)(z, teacher, torch.tensor([[0, 1, 1, 0]], dtype=torch.int8), "sum")
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_unknown_labels_take_no_part(name, seed):
    loss, y = with_targets(name), labels(seed, unknown=True)
    s, t = logits(seed).requires_grad_(), logits(seed + 1)
    elementwise = loss(s, t, y, "none")
    known = y >= 0
    expected = loss(s, t, y.clamp(min=0), "none")[known]
    assert (elementwise[~known] == 0).all()
    torch.testing.assert_close(elementwise[known], expected)
    torch.testing.assert_close(loss(s, t, y, "sum"), expected.sum())
    torch.testing.assert_close(loss(s, t, y, "batchmean"), expected.sum() / len(y))
    torch.testing.assert_close(loss(s, t, y, "mean"), expected.sum() / known.sum().clamp(min=1))
    (gradient,) = torch.autograd.grad(elementwise.sum(), s)
    assert (gradient[~known] == 0).all()


@pytest.mark.parametrize("name", [*ALL, "partial_softmax"])
def test_half_inputs_are_raised_even_under_autocast(name):
    y = labels(2)
    loss = losses.partial_softmax if name == "partial_softmax" else with_targets(name)
    reduction = "batchmean"
    s, t = logits(0, dtype=torch.bfloat16), logits(1, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = loss(s, t, y, reduction)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, loss(s.float(), t.float(), y, reduction), rtol=0, atol=0)
    assert loss(s.double(), t.double(), y, reduction).dtype == f64


def quadratic_partial_softmax(s, t, y):
    total = 0.0
    for zs, zt, row in zip(s, t, y, strict=True):
        for positive in (row == 1).nonzero().flatten():
            members = torch.cat([positive[None], (row == 0).nonzero().flatten()])
            log_s, log_t = zs[members].log_softmax(0), zt[members].log_softmax(0)
            total = total + (log_t.exp() * (log_t - log_s)).sum()
    return total / len(s)


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_partial_softmax_equals_the_quadratic_form(seed):
    y = labels(seed, unknown=True)
    y[0], y[1] = 1, 0  # no negatives, no positives
    s, t = logits(seed).requires_grad_(), logits(seed + 1)
    fast, slow = losses.partial_softmax(s, t, y), quadratic_partial_softmax(s, t, y)
    torch.testing.assert_close(fast, torch.as_tensor(slow, dtype=f64))
    torch.testing.assert_close(*(torch.autograd.grad(loss, s)[0] for loss in (fast, slow)))


def test_partial_softmax_is_finite_where_an_image_has_only_positives():
    s = logits(0, dtype=torch.float32).requires_grad_()
    loss = losses.partial_softmax(s, logits(1, dtype=torch.float32), torch.ones(6, 5, dtype=torch.int8))
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-5)
    assert torch.isfinite(s.grad).all()


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="same class list"):
        losses.mld(torch.zeros(4, 3), torch.zeros(4, 1))


GOLDEN = {
    "bce": 2.951253940577,
    "asymmetric": 3.211334466641,
    "mld": 0.827845283452,
    "mse": 9.945,
    "partial_softmax": 1.046536443801,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values_of_the_default_reductions(name):
    s = torch.tensor([[1.0, -2.0, 0.5, 3.0], [-1.0, 0.0, 2.5, -0.3]], dtype=f64)
    t = torch.tensor([[2.0, -1.0, -0.5, 0.0], [-3.0, 1.0, 1.0, 0.5]], dtype=f64)
    y = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 1]], dtype=torch.int8)
    arguments = (s, y) if name in ("bce", "asymmetric") else (s, t, y)
    assert float(getattr(losses, name)(*arguments)) == pytest.approx(GOLDEN[name], rel=1e-10)
