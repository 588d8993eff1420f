"""L2D's class-aware and instance-aware terms against a plain double loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.distill import losses

f64 = torch.float64
PROTOCOLS = ["code", "paper"]


def huber(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.abs() <= 1, x.square() / 2, x.abs() - 0.5)


def group_loss(student: torch.Tensor, teacher: torch.Tensor, protocol: str) -> torch.Tensor:
    """Loss of one class's (or image's) positives: rows of embeddings."""
    n = len(student)
    ordered = [(i, j) for i in range(n) for j in range(n) if i != j]
    if not ordered:
        return student.sum() * 0
    ds, dt = (torch.stack([(e[i] - e[j]).norm() for i, j in ordered]) for e in (student, teacher))
    if protocol == "paper":
        return huber(dt - ds).sum()
    return huber(dt / dt.mean() - ds / ds.mean()).sum() / n


def double_loop(s, t, y, protocol):
    of_class = sum(group_loss(s[y[:, k] == 1, k], t[y[:, k] == 1, k], protocol) for k in range(y.shape[1]))
    of_image = sum(group_loss(s[i, y[i] == 1], t[i, y[i] == 1], protocol) for i in range(len(y)))
    return of_class, of_image


def case(seed: int, shape=(7, 5), widths=(4, 6)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(*shape, width, generator=generator, dtype=f64) for width in widths)
    return student, 2 * teacher, torch.randint(-1, 2, shape, generator=generator).to(torch.int8)


@given(seed=st.integers(0, 10_000), protocol=st.sampled_from(PROTOCOLS))
@settings(max_examples=30, deadline=None)
def test_both_terms_and_their_gradients_equal_the_double_loop(seed, protocol):
    s, t, y = case(seed)
    s.requires_grad_()
    expected = double_loop(s, t, y, protocol)
    separate = losses.class_aware(s, t, y, protocol), losses.instance_aware(s, t, y, protocol)
    together = losses.class_and_instance_aware(s, t, y, protocol)
    for reference, alone, joint in zip(expected, separate, together, strict=True):
        torch.testing.assert_close(alone, reference)
        torch.testing.assert_close(joint, reference)
        gradients = [torch.autograd.grad(loss, s, retain_graph=True)[0] for loss in (reference, alone, joint)]
        torch.testing.assert_close(gradients[1], gradients[0])
        torch.testing.assert_close(gradients[2], gradients[0])


def test_the_default_protocol_is_that_of_the_authors_code():
    s, t, y = case(0)
    assert losses.class_aware(s, t, y) == losses.class_aware(s, t, y, "code")
    assert losses.instance_aware(s, t, y) == losses.instance_aware(s, t, y, "code")
    with pytest.raises(ValueError, match="unknown protocol"):
        losses.class_aware(s, t, y, "text")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_identical_embeddings_give_finite_gradients(protocol):
    _, t, y = case(0)
    s = torch.ones(7, 5, 4, requires_grad=True)
    for loss in losses.class_and_instance_aware(s, t, y, protocol):
        (gradient,) = torch.autograd.grad(loss, s, retain_graph=True)
        assert torch.isfinite(loss)
        assert (gradient == 0).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("y", [torch.zeros(3, 3), -torch.ones(3, 3), torch.eye(3)], ids=["none", "unknown", "single"])
def test_without_a_pair_of_positives_the_terms_are_exactly_zero(protocol, y):
    s = torch.randn(3, 3, 4, requires_grad=True)
    for loss in losses.class_and_instance_aware(s, torch.randn(3, 3, 4), y.to(torch.int8), protocol):
        assert loss == 0
        (gradient,) = torch.autograd.grad(loss, s, retain_graph=True)
        assert (gradient == 0).all()


def test_bfloat16_is_computed_in_float32():
    s, t, y = case(0)
    s, t = s.bfloat16(), t.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = losses.class_and_instance_aware(s, t, y)
    torch.testing.assert_close(low, losses.class_and_instance_aware(s.float(), t.float(), y), rtol=0, atol=0)


def test_embeddings_that_do_not_fit_the_targets_are_refused():
    s, t, y = case(0)
    with pytest.raises(ValueError, match="must be"):
        losses.class_aware(s, t[:, :4], y)


def test_golden_values():
    s = torch.arange(24, dtype=f64).reshape(3, 4, 2).sin()
    t = torch.arange(36, dtype=f64).reshape(3, 4, 3).cos()
    y = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, -1, 0]], dtype=torch.int8)
    values = [float(v) for p in PROTOCOLS for v in losses.class_and_instance_aware(s, t, y, p)]
    assert values == pytest.approx([0.096467223403, 1.739209118109, 2.367659761504, 12.920055630249], rel=1e-10)
