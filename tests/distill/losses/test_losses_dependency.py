"""MDKD's closed forms against enumeration of every label sequence."""

import importlib
import itertools
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.distill import losses
from edgedistill.distill.losses.mdkd.huber_tail import huber_tail
from edgedistill.runtime.errors import ConfigError

batch_level = importlib.import_module("edgedistill.distill.losses.mdkd.dependencies")
f64 = torch.float64
FORMS = ["mean_square", "squared_sum"]


@pytest.fixture(autouse=True)
def _impossible_orders_may_warn():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no label sequence.*")
        yield


def pair(seed: int, batch: int, classes: int, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, batch, classes, generator=generator, dtype=f64) * scale
    # Labels that differ in their mean probability: the squared sums then leave Huber's quadratic part.
    return student, teacher + torch.linspace(-4, 4, classes, dtype=f64)


def huber(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.abs() <= 1, x.square() / 2, x.abs() - 0.5)


def enumerate_sequences(difference: torch.Tensor, order: int, allowed: list[int] | None = None) -> torch.Tensor:
    """Mean of Huber(average of D along the sequence) over all sequences of distinct labels."""
    sequences = list(itertools.permutations(range(len(difference)) if allowed is None else allowed, order))
    if not sequences:
        return difference.sum() * 0
    index = torch.tensor(sequences)
    return huber(difference[index[:, :-1], index[:, 1:]].mean(dim=1)).mean()


def batch_difference(s: torch.Tensor, t: torch.Tensor, form: str, y: torch.Tensor | None = None) -> torch.Tensor:
    classes = s.shape[1]
    difference = s.new_zeros(classes, classes)
    for k, j in itertools.permutations(range(classes), 2):
        both = torch.ones(len(s), dtype=torch.bool) if y is None else (y[:, k] >= 0) & (y[:, j] >= 0)
        if not both.any():
            continue
        for sign, p in ((1, t.sigmoid()[both]), (-1, s.sigmoid()[both])):
            gap = p[:, k] - p[:, j]
            psi = gap.square().mean() if form == "mean_square" else gap.sum().square() / both.sum()
            difference[k, j] += sign * psi
    return difference


def instance_reference(s: torch.Tensor, t: torch.Tensor, order: int, y: torch.Tensor | None = None) -> torch.Tensor:
    total = s.new_zeros(())
    for i, (ps, pt) in enumerate(zip(s.sigmoid(), t.sigmoid(), strict=True)):
        difference = (pt[:, None] - pt).square() - (ps[:, None] - ps).square()
        allowed = None if y is None else (y[i] >= 0).nonzero().flatten().tolist()
        total = total + enumerate_sequences(difference, order, allowed)
    return total / len(s)


@pytest.mark.parametrize("classes", [2, 3, 5, 7])
@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch", [1, 24])  # Gram matrices, or a C x C matrix
def test_batch_level_equals_enumeration(order, classes, form, batch, monkeypatch):
    monkeypatch.setattr(batch_level, "_FEW_CLASSES", 0)
    s, t = pair(order, batch, classes)
    difference = batch_difference(s, t, form)
    if form == "squared_sum" and batch == 24 and classes > 3:
        assert difference.abs().max() > 2, "the case must reach Huber's linear part"
    actual = losses.batch_dependency(s, t, order, form=form)
    torch.testing.assert_close(actual, enumerate_sequences(difference, order), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 5, 7])
@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
def test_instance_level_equals_enumeration(order, classes):
    s, t = pair(order, 4, classes)
    actual = losses.instance_dependency(s, t, order)
    torch.testing.assert_close(actual, instance_reference(s, t, order), rtol=1e-9, atol=1e-12)


@given(seed=st.integers(0, 10_000), order=st.integers(2, 5), form=st.sampled_from(FORMS))
@settings(max_examples=25, deadline=None)
def test_unknown_labels_are_left_out_exactly(seed, order, form):
    s, t = pair(seed, 8, 5)
    y = torch.randint(-1, 2, s.shape, generator=torch.Generator().manual_seed(seed)).to(torch.int8)
    y[:, 0] = torch.where(y[:, 1] >= 0, -1, y[:, 0])  # labels 0 and 1 are never known together
    batch = losses.batch_dependency(s, t, order, y, form=form)
    torch.testing.assert_close(
        batch, enumerate_sequences(batch_difference(s, t, form, y), order), rtol=1e-9, atol=1e-12
    )
    instance = losses.instance_dependency(s, t, order, y)
    torch.testing.assert_close(instance, instance_reference(s, t, order, y), rtol=1e-9, atol=1e-12)
    moved = torch.where(y < 0, s + 3.0, s)
    torch.testing.assert_close(losses.instance_dependency(moved, t, order, y), instance)
    torch.testing.assert_close(losses.batch_dependency(moved, t, order, y, form=form), batch)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", [2, 3, 4, 6])
def test_gradients(order, form):
    s, t = pair(1, 24, 6)
    assert torch.autograd.gradcheck(lambda z: losses.batch_dependency(z, t, order, form=form), s.requires_grad_())


@pytest.mark.parametrize("order", [2, 3, 4, 6])
@pytest.mark.parametrize(("batch", "classes"), [(5, 6), (1, 6)], ids=["matrix", "gram"])
def test_gradients_of_both_levels(order, batch, classes, monkeypatch):
    monkeypatch.setattr(batch_level, "_FEW_CLASSES", 0)
    s, t = pair(1, batch, classes)
    s.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: losses.instance_dependency(z, t, order), s)
    assert torch.autograd.gradcheck(lambda z: losses.batch_dependency(z, t, order), s)


@pytest.mark.parametrize("form", FORMS)
def test_several_orders_at_once_equal_each_alone(form):
    s, t = pair(3, 16, 7)
    orders = (2, 4, 6)
    together = losses.batch_dependencies(s, t, orders, form=form)
    assert list(together) == list(orders)
    for order, value in together.items():
        torch.testing.assert_close(value, losses.batch_dependency(s, t, order, form=form))
    for order, value in losses.instance_dependencies(s, t, orders).items():
        torch.testing.assert_close(value, losses.instance_dependency(s, t, order))


def test_an_order_beyond_the_classes_is_exactly_zero_and_said_once():
    s, t = pair(0, 3, 4)
    s.requires_grad_()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            for value in (losses.batch_dependency(s, t, 9), losses.instance_dependency(s, t, 9)):
                assert value == 0
                assert value.requires_grad
        assert losses.batch_dependency(s, t, 9, form="squared_sum") == 0
    assert [str(w.message) for w in caught] == [
        "4 classes have no label sequence of order 9: that dependency term is 0."
    ]


def test_order_one_is_refused():
    s, t = pair(0, 3, 4)
    with pytest.raises(ValueError, match="at least 2"):
        losses.batch_dependency(s, t, 1)
    with pytest.raises(ValueError, match="unknown form"):
        losses.batch_dependency(s, t, 2, form="mean")


def test_a_tail_too_large_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"mean_square .* orders up to 4"):
        huber_tail(torch.zeros(80, 80), 5)
    assert huber_tail(torch.zeros(80, 80), 4) == 0


@pytest.mark.parametrize("classes", [20, 80])
@pytest.mark.parametrize("distance", [1.0, 1e-1, 1e-2])
def test_float32_keeps_its_digits_when_the_student_is_close_to_the_teacher(classes, distance):
    generator = torch.Generator().manual_seed(0)
    t = torch.randn(32, classes, generator=generator) * 2 - 2
    s = t + distance * torch.randn(32, classes, generator=generator)
    for level in (losses.batch_dependencies, losses.instance_dependencies):
        exact = level(s.double(), t.double(), (2, 3, 4))
        for order, value in level(s, t, (2, 3, 4)).items():
            assert value.dtype == torch.float32
            assert float(value) == pytest.approx(float(exact[order]), rel=1e-4)


@pytest.mark.parametrize("distance", [None, 1.0, 1e-2, 1e-3], ids=["apart", "1", "0.01", "0.001"])
def test_ten_thousand_labels_are_as_exact(distance):
    generator = torch.Generator().manual_seed(0)
    t = torch.randn(4, 10_000, generator=generator) * 2 - 4
    s = torch.randn(t.shape, generator=generator) * 2 - 4
    s = (s if distance is None else t + distance * s).requires_grad_()
    for level in (losses.batch_dependencies, losses.instance_dependencies):
        exact, found = (level(z, t.to(z.dtype), (2, 3, 4)) for z in (s.double(), s))
        for order in exact:
            assert float(found[order].detach()) == pytest.approx(float(exact[order].detach()), rel=1e-4)
        slope, rounded = (torch.autograd.grad(sum(terms.values()), s)[0] for terms in (exact, found))
        assert (rounded - slope).norm() < 1e-4 * slope.norm()


def test_only_unknown_labels_need_the_matrix_of_many_classes():
    s, y = torch.zeros(4, 300), torch.zeros(4, 300, dtype=torch.int8)
    assert not batch_level.takes_matrix(s, None)
    assert not batch_level.takes_matrix(s, y)
    assert batch_level.takes_matrix(s, y - 1)
    assert batch_level.takes_matrix(s[:, :256], None)


def test_constants_made_in_an_inference_serve_a_training():
    s, t = pair(0, 3, 11)
    with torch.inference_mode():
        losses.instance_dependency(s, t, 3)
        losses.batch_dependency(s, t, 3)
    s.requires_grad_()
    (losses.instance_dependency(s, t, 3) + losses.batch_dependency(s, t, 3)).backward()
    assert s.grad.abs().max() > 0


def test_golden_values():
    s = torch.tensor([[1.0, -2.0, 0.5, 3.0], [-1.0, 0.0, 2.5, -0.3]], dtype=f64)
    t = torch.tensor([[2.0, -1.0, -0.5, 0.0], [-3.0, 1.0, 1.0, 0.5]], dtype=f64)
    batch = [float(v) for v in losses.batch_dependencies(s, t, (2, 3, 4)).values()]
    printed = [float(v) for v in losses.batch_dependencies(s, t, (2, 3, 4), form="squared_sum").values()]
    instance = [float(v) for v in losses.instance_dependencies(s, t, (2, 3, 4)).values()]
    assert batch == pytest.approx([0.02294147469301, 0.01134412515619, 0.00305480296299], rel=1e-10)
    assert printed == pytest.approx([0.02367870406728, 0.01750610412855, 0.01517613439401], rel=1e-10)
    assert instance == pytest.approx([0.03752902249814, 0.02027713198572, 0.0077275967613], rel=1e-10)


@pytest.mark.parametrize(("batch", "classes"), [(2, 9), (3, 13), (5, 21)])
def test_gram_matrices_of_several_images_are_the_matrix(batch, classes, monkeypatch):
    s, t = pair(4, batch, classes)
    s.requires_grad_()
    orders = (2, 3, 4)
    matrix = losses.batch_dependencies(s, t, orders)
    monkeypatch.setattr(batch_level, "_FEW_CLASSES", 0)
    assert not batch_level.takes_matrix(s, None)
    gram = losses.batch_dependencies(s, t, orders)
    for order in orders:
        torch.testing.assert_close(gram[order], matrix[order], rtol=1e-10, atol=1e-14)
        slopes = [torch.autograd.grad(term[order], s, retain_graph=True)[0] for term in (gram, matrix)]
        torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-13)
