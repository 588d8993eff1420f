"""L2D's class-aware and instance-aware terms on label sets of all kinds (reference: loss_cases_structure.py)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import Example, labels, normal, plain
from loss_cases_structure import class_aware, instance_aware

from edgedistill.distill import losses
from edgedistill.distill.losses import distances

f64 = torch.float64
PROTOCOLS = ["code", "paper"]


def case(seed: int, images: int = 5, classes: int = 4) -> Example:
    student, teacher = normal(seed, images, classes, 4), normal(seed + 1, images, classes, 6, scale=2.0)
    return Example(student, teacher, labels(seed, images, classes, lowest=-1))


@given(
    seed=st.integers(0, 10_000),
    images=st.integers(1, 6),
    classes=st.integers(1, 5),
    protocol=st.sampled_from(PROTOCOLS),
)
@settings(max_examples=20, deadline=None)
def test_both_terms_and_their_gradients_equal_the_double_loop(seed, images, classes, protocol):
    example = case(seed, images, classes)
    s = example.student.clone().requires_grad_()
    arguments = s, example.teacher, example.targets, protocol
    separate = losses.class_aware(*arguments), losses.instance_aware(*arguments)
    together = losses.class_and_instance_aware(*arguments)
    for reference, alone, joint in zip((class_aware, instance_aware), separate, together, strict=True):
        value, gradient = plain(lambda *plainly, of=reference: of(*plainly, protocol), example)
        for loss in (alone, joint):
            assert loss.item() == pytest.approx(value, rel=1e-9, abs=1e-12)
            torch.testing.assert_close(torch.autograd.grad(loss, s, retain_graph=True)[0], gradient)


def test_the_default_protocol_is_that_of_the_authors_code():
    s, t, y = case(0).student, case(0).teacher, case(0).targets
    assert losses.class_aware(s, t, y) == losses.class_aware(s, t, y, "code")
    assert losses.instance_aware(s, t, y) == losses.instance_aware(s, t, y, "code")
    with pytest.raises(ValueError, match="unknown protocol"):
        losses.class_aware(s, t, y, "text")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("y", [torch.zeros(3, 3), -torch.ones(3, 3), torch.eye(3)], ids=["none", "unknown", "single"])
def test_without_a_pair_of_positives_the_terms_are_exactly_zero(protocol, y):
    s = torch.randn(3, 3, 4, requires_grad=True)
    for loss in losses.class_and_instance_aware(s, torch.randn(3, 3, 4), y.to(torch.int8), protocol):
        assert loss == 0
        (gradient,) = torch.autograd.grad(loss, s, retain_graph=True)
        assert (gradient == 0).all()


@pytest.mark.parametrize("gap", [1e-2, 1e-4])
def test_close_embeddings_keep_their_digits_in_float32(gap):
    """Far from the origin and close to each other: a Gram matrix alone would have lost them."""
    y = torch.ones(6, 4, dtype=torch.int8)
    s, t = ((100.0 + gap * normal(seed, 6, 4, 8)).float() for seed in (0, 1))
    values, gradients = [], []
    for dtype in (torch.float32, f64):
        student = s.to(dtype).requires_grad_()
        values.append(sum(losses.class_and_instance_aware(student, t.to(dtype), y)))
        gradients.append(torch.autograd.grad(values[-1], student)[0].double())
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-4)
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[1].norm()


def test_many_pairs_take_no_table_of_their_differences(monkeypatch):
    s, t, y = case(0).student.requires_grad_(), case(0).teacher, torch.ones(5, 4, dtype=torch.int8)
    expected = losses.class_and_instance_aware(s, t, y)
    slope = torch.autograd.grad(sum(expected), s)[0]
    monkeypatch.setattr(distances, "_LONG_TABLE", 0)
    monkeypatch.setattr(torch.Tensor, "sub_", None)
    found = losses.class_and_instance_aware(s, t, y)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(sum(found), s)[0], slope)


def test_embeddings_that_do_not_fit_the_targets_are_refused():
    with pytest.raises(ValueError, match="must be"):
        losses.class_aware(case(0).student, case(0).teacher[:, :3], case(0).targets)


def test_golden_values():
    s = torch.arange(24, dtype=f64).reshape(3, 4, 2).sin()
    t = torch.arange(36, dtype=f64).reshape(3, 4, 3).cos()
    y = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, -1, 0]], dtype=torch.int8)
    values = [float(v) for p in PROTOCOLS for v in losses.class_and_instance_aware(s, t, y, p)]
    assert values == pytest.approx([0.096467223403, 1.739209118109, 2.367659761504, 12.920055630249], rel=1e-10)
