"""How the losses run: no loops over classes or images, no hidden host sync, and torch.compile works on them."""

import collections
import warnings

import pytest
import torch
from loss_cases import Case, Example, all_cases
from torch.utils._python_dispatch import TorchDispatchMode

from edgedistill.distill import losses

CASES = {case.name: case for case in all_cases()}
GRAPHS = {case.loss: case for case in reversed(CASES.values()) if case.whole_graph}  # the first of each loss
BY_HAND = ("batch_and_instance_dependencies", "rkd_angle")  # their gradients, which the compiler then traces as well
HOST_SYNCS = {"aten._local_scalar_dense.default", "aten.nonzero.default", "aten.masked_select.default"}


class _Operators(TorchDispatchMode):
    """Counts every operator, those of the backward pass too."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = collections.Counter()

    def __torch_dispatch__(self, operator, types, arguments=(), named=None):
        self.counts[str(operator)] += 1
        return operator(*arguments, **(named or {}))


def operators(case: Case, example: Example) -> collections.Counter:
    """Of forward and backward, after a first call that may build constants."""
    student, teacher = example.student.float().requires_grad_(), example.teacher.float()
    case.call(student, teacher, example.targets)
    with _Operators() as counter:
        case.call(student, teacher, example.targets).backward()
    return counter.counts


@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "_"))
def test_operators_do_not_multiply_with_images_or_classes_and_syncs_are_those_documented(name):
    case = CASES[name]
    few, many = (operators(case, case.inputs.sized(*size)) for size in ((4, 5), (11, 7)))
    assert few == many
    assert sum(few[sync] for sync in HOST_SYNCS) == case.syncs


@pytest.mark.parametrize("loss", GRAPHS)
def test_torch_compile_traces_it_without_a_break(loss):
    case, example = GRAPHS[loss], GRAPHS[loss].inputs.edges["random"]
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what a user of torch.compile would be told
        backend = "aot_eager" if loss in BY_HAND else "eager"
        compiled = torch.compile(case.call, backend=backend, fullgraph=True)
        student = example.student.detach().clone().requires_grad_()
        value = compiled(student, example.teacher, example.targets)
    torch.testing.assert_close(value, case.call(student, example.teacher, example.targets))
    assert torch.autograd.grad(value, student)[0].abs().max() > 0


def test_torch_compile_traces_two_calls_of_one_loss():
    """Each needs weights of its own, which torch 2.14 does not embed twice: "already in seen_sources"."""
    student, teacher = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    student.requires_grad_()

    def both_orders(student, teacher):
        batch = losses.batch_dependency(student, teacher, 2) + losses.batch_dependency(student, teacher, 3)
        return batch + losses.instance_dependency(student, teacher, 2) + losses.instance_dependency(student, teacher, 3)

    torch.compiler.reset()
    value = torch.compile(both_orders, backend="aot_eager", fullgraph=True)(student, teacher)
    expected = both_orders(student, teacher)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0.0)
    gradients = [torch.autograd.grad(total, student)[0] for total in (value, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)
