"""Every loss against its plain reference (loss_cases_*.py) on every edge: value, gradient and precision."""

import functools
import warnings

import pytest
import torch
from loss_cases import Case, Example, all_cases
from plain_numbers import Number, gradient

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
    """The reference's value and gradient, float64."""
    example = CASES[name].inputs.edges[edge]
    flat = [Number(x) for x in example.student.flatten().tolist()]
    numbers = iter(flat)

    def rebuilt(values):
        return [rebuilt(v) for v in values] if isinstance(values, list) else next(numbers)

    student = rebuilt(example.student.tolist())
    result = CASES[name].reference(student, example.teacher.tolist(), example.targets.tolist())
    return float(result), torch.tensor(gradient(result, flat), dtype=torch.float64).view_as(example.student)


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


def test_every_loss_has_a_case():
    assert {case.loss for case in all_cases()} == set(losses.__all__), "register it in a loss_cases_*.py"
