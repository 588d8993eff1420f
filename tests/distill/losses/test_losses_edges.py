"""Every loss against its plain reference (loss_cases_*.py) on every edge: value, gradient and precision."""

import functools
import warnings

import pytest
import torch
from loss_cases import Case, Example, all_cases, plain

from edgedistill.distill import losses

CASES = {case.name: case for case in all_cases()}
every_case = pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "_"))


@pytest.fixture(autouse=True)
def _impossible_orders_may_warn():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no label sequence.*")
        yield


@functools.cache
def expected(name: str, edge: str) -> tuple[float, torch.Tensor]:
    return plain(CASES[name].reference, CASES[name].inputs.edges[edge])


def found(case: Case, example: Example, device: str, dtype: torch.dtype, *, autocast: bool = False):
    """Value and gradient of the loss itself."""
    student = example.student.detach().clone().to(device, dtype).requires_grad_()
    with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
        value = case.call(student, example.teacher.to(device, dtype), example.targets.to(device))
    return value.detach(), torch.autograd.grad(value, student)[0]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@every_case
def test_value_and_gradient_equal_the_reference_on_every_edge(name, dtype, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    for edge, example in CASES[name].inputs.edges.items():
        tolerance = 1e-9 if dtype == torch.float64 else example.float32
        value, slope = found(CASES[name], example, device, dtype)
        reference, reference_slope = expected(name, edge)
        assert value.dtype == slope.dtype == dtype, edge
        assert value.item() == pytest.approx(reference, rel=tolerance, abs=tolerance), edge
        error = (slope.cpu().double() - reference_slope).abs().max()
        assert error <= tolerance * (1.0 + reference_slope.abs().max()), edge


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@every_case
def test_half_inputs_are_computed_in_float32_even_under_autocast(name, dtype):
    for edge, example in CASES[name].inputs.edges.items():
        rounded = Example(example.student.to(dtype), example.teacher.to(dtype), example.targets)
        value, slope = found(CASES[name], rounded, "cpu", dtype, autocast=True)
        in_full, full_slope = found(CASES[name], rounded, "cpu", torch.float32)
        assert value.dtype == torch.float32, edge
        assert torch.equal(value, in_full), edge
        assert slope.dtype == dtype, edge
        assert torch.isfinite(slope).all(), edge
        assert torch.equal(slope, full_slope.to(dtype)), edge
        mixed = CASES[name].call(rounded.student, example.teacher.float(), example.targets)
        assert mixed.dtype == torch.float32, edge


@pytest.mark.parametrize("edge", ["random", "unknown"])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.stops])
def test_gradcheck(name, edge):
    example = CASES[name].inputs.edges.get(edge)
    if example is not None:  # `unknown` only where labels are read
        student = example.student.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda s: CASES[name].call(s, example.teacher, example.targets), student)


@every_case
def test_the_teacher_receives_no_gradient(name):
    example = CASES[name].inputs.edges["random"]
    student, teacher = (x.clone().requires_grad_() for x in (example.student, example.teacher))
    CASES[name].call(student, teacher, example.targets).backward()
    assert teacher.grad is None
    assert student.grad.abs().max() > 0


@pytest.mark.parametrize("loss", ["instance_dependency", "batch_dependency", "rkd_angle", "class_aware"])
def test_a_gradient_by_hand_refuses_a_second_one(loss):
    case = next(case for case in CASES.values() if case.loss == loss)
    example = case.inputs.edges["random"]
    student = example.student.clone().requires_grad_()
    value = case.call(student, example.teacher, example.targets)
    with pytest.raises(RuntimeError, match="differentiable once"):
        torch.autograd.grad(value, student, create_graph=True)


def test_every_loss_has_a_case():
    assert {case.loss for case in all_cases()} == set(losses.__all__), "register it in a loss_cases_*.py"
