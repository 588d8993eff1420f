"""What benchmarks/losses.py measures with: inputs, clock, memory, and the plain references of the tests."""

import gc
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "distill" / "losses"))

import loss_cases
from plain_numbers import Number, gradient

WIDTH = 768  # of embeddings and pooled features
LARGEST = 2**30  # bytes of one input: what is larger is not measured, and listed so

Step = Callable[[], None]


class Inputs:
    """Random predictions with the label statistics of a real data set."""

    def __init__(self, labels: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        self.labels = torch.from_numpy(labels[rng.permutation(len(labels))].astype(np.int8))

    def targets(self, images: int, classes: int) -> Tensor:
        """Real rows; for another number of classes as many labels per image, spread by Zipf's law."""
        rows = self.labels[:images]
        if classes == rows.shape[1]:
            return rows.clone()
        rng = np.random.default_rng(1)
        share = 1.0 / np.arange(1, classes + 1)
        chosen = np.zeros((images, classes), np.int8)
        for row, count in zip(chosen, rows.sum(dim=1).tolist(), strict=True):
            row[rng.choice(classes, min(count, classes), replace=False, p=share / share.sum())] = 1
        return torch.from_numpy(chosen)

    def of(self, case: loss_cases.Case, images: int, classes: int) -> tuple[Tensor, Tensor, Tensor] | None:
        """Student (a leaf that wants its gradient), teacher and targets; None where they would be too large."""
        shape = {
            id(loss_cases.logits): (images, classes),
            id(loss_cases.embeddings): (images, classes, WIDTH),
            id(loss_cases.features): (images, WIDTH),
            id(loss_cases.maps): (images, 256, 14, 14),
        }[id(case.inputs)]
        if case.loss == "attention_distance":
            shape = (images, 1, *shape[2:])
        if 4 * np.prod(shape) > LARGEST:
            return None
        generator = torch.Generator().manual_seed(0)
        student, teacher = (2.0 * torch.randn(shape, generator=generator) - 2.0 for _ in range(2))
        return student.requires_grad_(), teacher, self.targets(images, classes)


def step(call: Callable[..., Tensor], student: Tensor, *others: Tensor) -> Step:
    """One forward and backward."""

    def run() -> None:
        call(student, *others).backward()
        student.grad = None

    return run


def seconds(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each, by round, in turns; each repeated for about 50 ms."""
    repeats = {}
    for name, run in steps.items():
        run()
        started = time.process_time()
        run()
        repeats[name] = max(1, int(0.05 / max(time.process_time() - started, 1e-6)))
    found = {name: [] for name in steps}
    for number in range(rounds):
        for name in steps if number % 2 else reversed(steps):
            started = time.process_time()
            for _ in range(repeats[name]):
                steps[name]()
            found[name].append((time.process_time() - started) / repeats[name])
    return found


def peak_bytes(run: Step) -> int:
    """The most that PyTorch's allocator had handed out at a time, above what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return int(live.max(initial=0))


def ratio(numerator: list[float], *denominators: list[float]) -> float:
    """Median over the rounds of numerator / sum of denominators."""
    return statistics.median(a / sum(b) for a, *b in zip(numerator, *denominators, strict=True))


def plainly(case: loss_cases.Case, student: Tensor, teacher: Tensor, targets: Tensor) -> dict:
    """One forward and backward of the plain reference; tracing its memory takes a second run, of short ones only."""

    def run() -> float:
        numbers = [Number(x) for x in student.flatten().tolist()]
        rows = iter(numbers)
        nested = _nested(rows, student.shape)
        result = case.reference(nested, teacher.tolist(), targets.tolist())
        gradient(result, numbers)
        return float(result)

    gc.collect()
    gc.disable()
    started = time.process_time()
    value = run()
    found = {"value": value, "seconds": time.process_time() - started}
    if found["seconds"] < 3:
        tracemalloc.start()
        run()
        found["peak_bytes"] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    gc.enable()
    return found


def _nested(numbers, shape):
    return [_nested(numbers, shape[1:]) for _ in range(shape[0])] if shape else next(numbers)
