"""RKD's distances and angles and PKT (references: loss_cases_relational.py)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases_relational import pkt, rkd_angle, rkd_distance

from edgedistill.distill import losses

f64 = torch.float64
LOSSES = [losses.rkd_distance, losses.rkd_angle, losses.pkt]

LOOPS = dict(zip(LOSSES, [rkd_distance, rkd_angle, pkt], strict=True))


def features(seed: int, images: int = 6, width: int = 4, dtype: torch.dtype = f64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, width, generator=generator, dtype=f64).to(dtype)


each = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


@each
@given(seed=st.integers(0, 10_000), images=st.integers(2, 7), widths=st.tuples(st.integers(1, 5), st.integers(1, 5)))
@settings(max_examples=40, deadline=None)
def test_equals_the_loop(loss, seed, images, widths):
    s, t = features(seed, images, widths[0]), 3.0 * features(seed + 1, images, widths[1])
    assert float(loss(s, t)) == pytest.approx(LOOPS[loss](s.tolist(), t.tolist()), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", [losses.rkd_distance, losses.rkd_angle], ids=lambda loss: loss.__name__)
@pytest.mark.parametrize(("offset", "gap", "tolerance"), [(1e3, 1e-3, 1e-2), (1e4, 1e-2, 1e-3)])
def test_close_images_survive_float32(loss, offset, gap, tolerance):
    generator = torch.Generator().manual_seed(0)
    s, t = (offset + torch.randn(4, width, generator=generator).repeat(2, 1) for width in (64, 96))
    # Each image has a near-duplicate, and all are far from the origin.
    s, t = (x + gap * torch.randn(x.shape, generator=generator) for x in (s, t))
    values, gradients = [], []
    for dtype in (torch.float32, f64):
        student = s.to(dtype).requires_grad_()
        values.append(loss(student, t.to(dtype)))
        gradients.append(torch.autograd.grad(values[-1], student)[0].double())
    assert values[0].item() == pytest.approx(values[1].item(), rel=tolerance)
    assert (gradients[0] - gradients[1]).norm() < tolerance * gradients[1].norm()


@pytest.mark.parametrize("loss", [losses.rkd_distance, losses.rkd_angle], ids=lambda loss: loss.__name__)
def test_rkd_does_not_see_shift_scale_or_rotation(loss):
    t = features(0)
    rotation, _ = torch.linalg.qr(features(1, 4))
    assert float(loss(5.0 * t @ rotation + 2.0, t)) == pytest.approx(0.0, abs=1e-12)
    assert loss(t.square(), t) > 1e-3


def test_pkt_does_not_see_the_length_of_a_row():
    t = features(0)
    lengths = torch.tensor([1.0, 2, 3, 4, 5, 6], dtype=f64)[:, None]
    assert float(losses.pkt(lengths * t, t)) == pytest.approx(0.0, abs=1e-7)
    assert losses.pkt(t + 1.0, t) > 1e-3


def test_opposite_images_have_a_finite_pkt_in_float32():
    for seed in range(50):
        x = 100 * features(seed, 1, 512, torch.float32)
        s = torch.cat([x, -x]).requires_grad_()
        value = losses.pkt(s, features(seed, 2, dtype=torch.float32))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(s.grad).all()


@each
def test_what_is_not_one_row_per_image_is_refused(loss):
    for s, t in ((features(0, 6), features(1, 5)), (features(0)[:, :, None], features(1))):
        with pytest.raises(ValueError, match="same images"):
            loss(s, t)


GOLDEN = [0.223425224989, 0.123358295345, 0.198138076374]


def test_golden_values():
    s = torch.arange(8, dtype=f64).reshape(4, 2).sin()
    t = torch.arange(12, dtype=f64).reshape(4, 3).cos()
    assert [float(loss(s, t)) for loss in LOSSES] == pytest.approx(GOLDEN, rel=1e-10)
