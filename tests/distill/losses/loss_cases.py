"""Every loss beside a plain reference, and the inputs on which they must agree.

A new loss joins with a `register(Case(...))` in a file `loss_cases_*.py` of this folder: test_losses_edges.py and
test_losses_graph.py then hold it to everything that the others keep.
"""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from plain_numbers import Number, gradient
from torch import Tensor

from edgedistill.distill import losses


@dataclass(frozen=True)
class Example:
    """Float64 inputs that float32 represents exactly.

    Attributes:
        student: receives the gradient.
        teacher: does not.
        targets: int8 (B, C).
        float32: relative tolerance there; wider where the loss itself is sensitive to the last bit.
    """

    student: Tensor
    teacher: Tensor
    targets: Tensor
    float32: float = 2e-5


@dataclass(frozen=True)
class Inputs:
    """What a kind of loss works on.

    Attributes:
        sized: random inputs with some positives, of B images and C classes.
        edges: by name.
    """

    sized: Callable[[int, int], Example]
    edges: dict[str, Example]


@dataclass(frozen=True)
class Case:
    """One way of calling a loss.

    Attributes:
        loss: its name in `edgedistill.distill.losses`.
        call: (student, teacher, targets) -> scalar, of torch tensors.
        reference: the same of nested lists of plain numbers (see plain_numbers), floats and ints, in loops.
        inputs: `logits`, `embeddings`, `features` or `maps` below, or its own.
        variant: what tells several cases of a loss apart.
        syncs: host synchronisations, as its docstring says.
        whole_graph: torch.compile finds no graph break.
        stops: the loss is not what its gradient is the derivative of: it stops the gradient on purpose.
    """

    loss: str
    call: Callable[[Tensor, Tensor, Tensor], Tensor]
    reference: Callable[[list, list, list], object]
    inputs: Inputs
    variant: str = ""
    syncs: int = 0
    whole_graph: bool = True
    stops: bool = False

    @property
    def name(self) -> str:
        return f"{self.loss}-{self.variant}" if self.variant else self.loss


_CASES: list[Case] = []


def register(case: Case) -> None:
    assert case.loss in losses.__all__
    _CASES.append(case)


@functools.cache
def all_cases() -> tuple[Case, ...]:
    for path in sorted(Path(__file__).parent.glob("loss_cases_*.py")):
        importlib.import_module(path.stem)
    return tuple(_CASES)


def plain(reference: Callable, example: Example) -> tuple[float, Tensor]:
    """The reference's value and gradient."""
    flat = [Number(x) for x in example.student.flatten().tolist()]
    numbers = iter(flat)

    def rebuilt(values):
        return [rebuilt(v) for v in values] if isinstance(values, list) else next(numbers)

    result = reference(rebuilt(example.student.tolist()), example.teacher.tolist(), example.targets.tolist())
    return float(result), torch.tensor(gradient(result, flat), dtype=torch.float64).view_as(example.student)


def weighted(terms) -> Tensor:
    """One scalar of several terms, each with a weight of its own so that none can stand for another."""
    return sum((1.0 + number) * term for number, term in enumerate(terms))


def normal(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))).double()


def labels(seed: int, images: int, classes: int, lowest: int = 0) -> Tensor:
    return torch.randint(lowest, 2, (images, classes), generator=torch.Generator().manual_seed(seed)).to(torch.int8)


def _label_edges(images: int, classes: int) -> dict[str, Tensor]:
    one = torch.zeros(images, classes, dtype=torch.int8)
    one[0, 0] = 1
    return {
        "random": labels(0, images, classes),
        "unknown": labels(3, images, classes, lowest=-1),
        "no positives": torch.zeros_like(one),
        "one positive": one,
        "all positives": torch.ones_like(one),
        "all unknown": -torch.ones_like(one),
    }


def _logits(images: int, classes: int) -> Example:
    # Labels that differ in their mean probability: MDKD's squared sums then leave Huber's quadratic part.
    teacher = (normal(2, images, classes, scale=2.0) + torch.linspace(-6, 6, classes)).float().double()
    return Example(normal(1, images, classes, scale=2.0), teacher, labels(0, images, classes))


def _logit_edges(images: int, classes: int) -> dict[str, Example]:
    s, t, y = _logits(images, classes).student, _logits(images, classes).teacher, labels(0, images, classes)
    signs = torch.tensor([60.0, -60.0], dtype=torch.float64)
    of_student = signs[labels(4, images, classes).long()]
    of_teacher = signs[labels(5, images, classes).long()]
    return {
        **{name: Example(s, t, targets) for name, targets in _label_edges(images, classes).items()},
        "sixty": Example(of_student, of_teacher, y),
        "sixty, all agree": Example(of_student, of_student, (of_student > 0).to(torch.int8)),
        "sixty, none agrees": Example(of_student, -of_student, (of_student < 0).to(torch.int8)),
        "student is teacher": Example(t, t, y),
        "zero": Example(0 * s, t, y),
        "one class": Example(s[:, :1], t[:, :1], y[:, :1]),
        "one image": Example(s[:1], t[:1], y[:1]),
        "one number": Example(s[:1, :1], t[:1, :1], y[:1, :1]),
    }


def _embeddings(images: int, classes: int) -> Example:
    return Example(normal(1, images, classes, 3), normal(2, images, classes, 4, scale=2.0), labels(0, images, classes))


def _embedding_edges(images: int, classes: int) -> dict[str, Example]:
    s, t, y = _embeddings(images, classes).student, _embeddings(images, classes).teacher, labels(0, images, classes)
    pairs = s.clone()
    pairs[1], pairs[:, 1] = pairs[0], pairs[:, 0]
    full = torch.ones_like(y)
    return {
        **{name: Example(s, t, targets) for name, targets in _label_edges(images, classes).items()},
        "some identical": Example(pairs, t, full),
        "identical of student": Example(torch.ones_like(s), t, full),
        "identical of teacher": Example(s, torch.ones_like(t), full),
        "identical of both": Example(torch.ones_like(s), torch.ones_like(t), full),
        "sixty": Example(60 * s.sign(), 60 * t.sign(), full),
        "student is teacher": Example(t, t, full),
        "one class": Example(s[:, :1], t[:, :1], full[:, :1]),
        "one image": Example(s[:1], t[:1], full[:1]),
        "one number": Example(s[:1, :1], t[:1, :1], full[:1, :1]),
    }


def _features(images: int, classes: int) -> Example:
    return Example(normal(1, images, 3), normal(2, images, 4, scale=2.0), labels(0, images, classes))


def _feature_edges(images: int, classes: int) -> dict[str, Example]:
    s, t, y = _features(images, classes).student, _features(images, classes).teacher, labels(0, images, classes)
    pair, nothing = s.clone(), s.clone()
    pair[1], nothing[1] = pair[0], 0.0
    return {
        "random": Example(s, t, y),
        "two identical images": Example(pair, t, y),
        "two identical of teacher": Example(s, torch.cat([t[:1], t[:-1]]), y),
        "a row of zeros": Example(nothing, t, y),
        "a row of zeros of teacher": Example(s, t * (torch.arange(images) > 0)[:, None], y),
        "collapsed": Example(torch.ones_like(s), t, y),
        "all zero": Example(torch.zeros_like(s), t, y),
        # The probability of an opposite neighbour, 0, is rounded at the size of PKT's eps of 1e-7.
        "opposite": Example(torch.cat([s[:1], -s[:1]]), t[:2], y[:2], float32=0.2),
        "sixty": Example(60 * s.sign(), 60 * t.sign(), y, float32=0.2),
        "student is teacher": Example(t, t, y),
        "one image": Example(s[:1], t[:1], y[:1]),
        "two images": Example(s[:2], t[:2], y[:2]),
    }


def _maps(images: int, classes: int) -> Example:
    return Example(normal(1, images, 2, 5, 6), normal(2, images, 2, 5, 6), labels(0, images, classes))


def _map_edges(images: int, classes: int) -> dict[str, Example]:
    s, t, y = _maps(images, classes).student, _maps(images, classes).teacher, labels(0, images, classes)
    return {
        **{name: Example(s, t, targets) for name, targets in _label_edges(images, classes).items()},
        "sixty": Example(60 * s.sign(), 60 * t.sign(), y),
        "student is teacher": Example(t, t, y),
        "one image": Example(s[:1], t[:1], y[:1]),
        "one position": Example(s[..., :1, :1], t[..., :1, :1], y),
    }


logits = Inputs(_logits, _logit_edges(3, 4))
wide_logits = Inputs(lambda images, classes: _logits(images, 5 * images), _logit_edges(1, 5))
embeddings = Inputs(_embeddings, _embedding_edges(3, 3))
features = Inputs(_features, _feature_edges(4, 3))
maps = Inputs(_maps, _map_edges(2, 3))
