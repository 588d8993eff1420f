"""bce, asymmetric, mld and mse: reductions, unknown labels and golden values (references: loss_cases_pointwise.py)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import labels, normal

from edgedistill.distill import losses

f64 = torch.float64
ELEMENTWISE = {
    "bce": lambda s, t, y, r: losses.bce(s, y, reduction=r),
    "asymmetric": lambda s, t, y, r: losses.asymmetric(s, y, reduction=r),
    "mld": lambda s, t, y, r: losses.mld(s, t, y, reduction=r),
    "mse": lambda s, t, y, r: losses.mse(s, t, y, reduction=r),
}


@pytest.mark.parametrize("z", [0.0, 8.0, 20.0, 60.0])
@pytest.mark.parametrize("label", [0, 1])
def test_bce_and_its_gradient_keep_their_digits_where_the_prediction_is_right(z, label):
    logit = torch.tensor([[z if label else -z]], requires_grad=True)
    loss = losses.bce(logit, torch.tensor([[label]], dtype=torch.int8))
    loss.backward()
    assert loss.item() == pytest.approx(math.log1p(math.exp(-z)), rel=1e-6)
    assert logit.grad.item() == pytest.approx((1 - 2 * label) * math.exp(-z) / (1 + math.exp(-z)), rel=1e-6)


def test_bce_takes_soft_targets():
    z, y = normal(0, 6, 5), normal(1, 6, 5).sigmoid()
    expected = -(y * z.sigmoid().log() + (1 - y) * (1 - z.sigmoid()).log())
    torch.testing.assert_close(losses.bce(z, y, reduction="none"), expected)


def test_asymmetric_focusing_weights_carry_no_gradient():
    z, y = normal(0, 1, 1).requires_grad_(), torch.zeros(1, 1, dtype=torch.int8)
    losses.asymmetric(z, y, clip=0.0).backward()
    p = z.detach().sigmoid()
    torch.testing.assert_close(z.grad, p**4 * p)


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


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_unknown_labels_take_no_part(name, seed):
    loss, y = ELEMENTWISE[name], labels(seed, 6, 5, lowest=-1)
    s, t = normal(seed, 6, 5, scale=3.0).requires_grad_(), normal(seed + 1, 6, 5, scale=3.0)
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


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="same class list"):
        losses.mld(torch.zeros(4, 3), torch.zeros(4, 1))


GOLDEN = {
    "bce": 2.951253940577,
    "asymmetric": 1.6056672333205,
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


@pytest.mark.parametrize("name", ["binary_kl", "pal", "partial_softmax", "softmax_kl", "softmax_targets"])
def test_an_unknown_reduction_is_refused(name):
    logits, targets = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.int8)
    operands = (logits, targets) if name in ("pal", "softmax_targets") else (logits, logits, targets)
    with pytest.raises(ValueError, match="unknown reduction 'mean': one of batchmean, sum"):
        getattr(losses, name)(*operands, reduction="mean")


@pytest.mark.parametrize("name", ["asymmetric", "bce", "label_smoothing", "mld", "mse", "pal", "partial_softmax",
                                  "softmax_kl", "softmax_targets"])  # fmt: skip
def test_annotations_of_another_shape_are_refused(name):
    logits, targets = torch.zeros(2, 3), torch.ones(1, 3, dtype=torch.int8)
    taught = name in ("mld", "mse", "partial_softmax", "softmax_kl")
    with pytest.raises(ValueError, match="differ in shape"):
        getattr(losses, name)(*((logits, logits, targets) if taught else (logits, targets)))
