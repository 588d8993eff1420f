"""RKD's distances and angles and PKT against plain loops in double precision."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.distill import losses

f64 = torch.float64
LOSSES = [losses.rkd_distance, losses.rkd_angle, losses.pkt]

Rows = list[list[float]]


def huber(x: float) -> float:
    return x * x / 2 if abs(x) <= 1 else abs(x) - 0.5


def minus(a: list[float], b: list[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def dot(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def norm(a: list[float]) -> float:
    return math.sqrt(dot(a, a))


def loop_rkd_distance(student: Rows, teacher: Rows) -> float:
    n, tables = len(student), []
    for e in (student, teacher):
        table = [[0.0 if i == j else max(norm(minus(e[i], e[j])), 1e-6) for j in range(n)] for i in range(n)]
        mean = math.fsum(map(math.fsum, table)) / (n * (n - 1))
        tables.append([[d / mean for d in row] for row in table])
    return math.fsum(huber(tables[0][i][j] - tables[1][i][j]) for i in range(n) for j in range(n)) / n**2


def cosine(e: Rows, i: int, j: int, k: int) -> float:
    to_j, to_k = minus(e[j], e[i]), minus(e[k], e[i])
    if norm(to_j) <= 1e-6 or norm(to_k) <= 1e-6:
        return 0.0
    return dot(to_j, to_k) / norm(to_j) / norm(to_k)


def loop_rkd_angle(student: Rows, teacher: Rows) -> float:
    n = len(student)
    triplets = [(i, j, k) for i in range(n) for j in range(n) for k in range(n)]
    return math.fsum(huber(cosine(student, *t) - cosine(teacher, *t)) for t in triplets) / n**3


def loop_pkt(student: Rows, teacher: Rows) -> float:
    n, eps, tables = len(student), 1e-7, []
    for e in (student, teacher):
        kernel = [[(1 + dot(a, b) / (norm(a) + eps) / (norm(b) + eps)) / 2 for b in e] for a in e]
        tables.append([[value / math.fsum(row) for value in row] for row in kernel])
    q, p = tables
    terms = [p[i][j] * math.log((p[i][j] + eps) / (q[i][j] + eps)) for i in range(n) for j in range(n)]
    return math.fsum(terms) / n**2


LOOPS = dict(zip(LOSSES, [loop_rkd_distance, loop_rkd_angle, loop_pkt], strict=True))


def features(seed: int, images: int = 6, width: int = 4, dtype: torch.dtype = f64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, width, generator=generator, dtype=f64).to(dtype)


def with_edges(x: torch.Tensor) -> torch.Tensor:
    """Two identical images, and one whose features are all zero."""
    x = x.clone()
    x[1], x[2] = x[0], 0.0
    return x


each = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


@each
@given(seed=st.integers(0, 10_000), images=st.integers(2, 7), widths=st.tuples(st.integers(1, 5), st.integers(1, 5)))
@settings(max_examples=40, deadline=None)
def test_equals_the_loop(loss, seed, images, widths):
    s, t = features(seed, images, widths[0]), 3.0 * features(seed + 1, images, widths[1])
    assert float(loss(s, t)) == pytest.approx(LOOPS[loss](s.tolist(), t.tolist()), rel=1e-9, abs=1e-12)


@each
@pytest.mark.parametrize("edges", ["student", "teacher", "both"])
def test_identical_images_and_zeros_equal_the_loop_with_finite_gradients(loss, edges):
    s, t = features(0), features(1, width=9)
    s, t = with_edges(s) if edges != "teacher" else s, with_edges(t) if edges != "student" else t
    s.requires_grad_()
    value = loss(s, t)
    assert value.item() == pytest.approx(LOOPS[loss](s.tolist(), t.tolist()), rel=1e-9)
    (gradient,) = torch.autograd.grad(value, s)
    assert torch.isfinite(gradient).all()
    assert 0 < gradient.abs().max() < 1e3, "no reciprocal of a vanishing distance is left in it"


@each
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, f64])
def test_a_collapsed_student_has_finite_gradients(loss, value, dtype):
    s = torch.full((5, 3), value, dtype=dtype, requires_grad=True)
    result = loss(s, features(0, 5, dtype=dtype))
    result.backward()
    assert result > 0
    assert torch.isfinite(s.grad).all()


@each
def test_one_image_has_no_relation(loss):
    s = features(0, 1).requires_grad_()
    value = loss(s, features(1, 1, 9))
    value.backward()
    assert value == 0
    assert s.grad.abs().max() < 1e-20


@each
def test_gradcheck_and_no_gradient_for_the_teacher(loss):
    s, t = features(0, 5).requires_grad_(), features(1, 5, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, t), s)
    loss(s, t).backward()
    assert t.grad is None


@each
def test_half_inputs_are_raised_even_under_autocast(loss):
    s, t = features(0, dtype=torch.bfloat16), features(1, width=9, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = loss(s, t)
    assert low.dtype == torch.float32
    assert torch.equal(low, loss(s.float(), t.float()))
    assert loss(s, t.float()).dtype == torch.float32


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
