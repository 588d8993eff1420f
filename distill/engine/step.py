"""One optimiser step: teacher, student, terms, backward, update; or nothing, where a number is not finite.

The student may run under autocast; the terms are always computed in float32.
"""

import contextlib
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ..data.loader import Batch
from ..methods import Method, TrainingContext
from ..models.output import ModelOutput
from .gathering import gather_output, gather_rows
from .optimize import choose_dtype, choose_format
from .settings import TrainSettings
from .state import TrainState
from .stopwatch import Stopwatch
from .teachers import Teacher, autocast
from .world import World


@dataclass(frozen=True)
class Taken:
    """What a step did.

    Attributes:
        terms: weighted loss terms, mean over the pieces and, where each process has its own, of this process.
        gradient_norm: before clipping.
        finite: whether the weights were updated.
    """

    terms: dict[str, float]
    gradient_norm: float
    finite: bool

    @property
    def culprit(self) -> str:
        """What was not finite, for a message."""
        broken = [name for name, value in self.terms.items() if not abs(value) < float("inf")]
        return f"the term {broken[0]!r}" if broken else "the gradient"


@dataclass
class Step:
    """Everything a step needs that does not change between steps.

    Attributes:
        state: what is updated.
        network: `state.model`, wrapped where several processes share a step.
        teacher: or None.
        method: the objective.
        settings: hyper-parameters.
        device: where it runs.
        world: the processes.
        stopwatch: gets the time of each phase.
        seed: of dropout.
    """

    state: TrainState
    network: nn.Module
    teacher: Teacher | None
    method: Method
    settings: TrainSettings
    device: torch.device
    world: World
    stopwatch: Stopwatch
    seed: int
    _buffers: list[tuple[list[Tensor], list[Tensor]]] = field(init=False)
    _gathers: bool = field(init=False)
    _summed: frozenset[str] = field(init=False)
    _parts: int = field(init=False)
    _format: torch.memory_format = field(init=False)
    _dtype: torch.dtype | None = field(init=False)

    def __post_init__(self) -> None:
        self._format = choose_format(self.settings, self.device)
        self._dtype = choose_dtype(self.settings, self.state.model, self.device)
        buffers = defaultdict(list)
        for buffer in self.state.model.buffers():
            buffers[buffer.dtype].append(buffer)  # a GPU copies a list of one type at once
        self._buffers = [(group, [buffer.clone() for buffer in group]) for group in buffers.values()]
        relates = bool(self.method.batch_terms()) and "stages" not in self.method.needs
        self._gathers = self.world.size > 1 and relates and self.settings.relations == "gathered"
        self._summed = self.method.summed_terms()
        # Gradients of the parts are averaged, so that a sum over the whole step is the mean of its parts times this.
        self._parts = self.settings.accumulate * (1 if self._gathers else self.world.size)

    def __call__(self, pieces: list[Batch], context: TrainingContext) -> Taken:
        """Take the step over `pieces`, whose gradients are averaged.

        Waits once for the device: whether the gradient is finite decides if anything is updated. A skipped step leaves
        weights, moments, moving averages and BatchNorm's statistics as they were.
        """
        state = self.state
        for buffers, backup in self._buffers:
            torch._foreach_copy_(backup, buffers)
        sums: dict[str, Tensor] = {}
        for number, batch in enumerate(pieces):
            # A step's draws depend on nothing before it, so that a run continues exactly, with any number of processes.
            torch.manual_seed(_mix(self.seed, context.step, number, self.world.rank))
            with self._unsynchronised(last=number == len(pieces) - 1):
                for name, term in self._backward(batch, context, share=1.0 / len(pieces)).items():
                    sums[name] = sums[name] + term if name in sums else term
        state.scaler.unscale_(state.optimizer)
        limit = self.settings.clip_grad_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), limit)
        values = torch.stack([norm, *sums.values()]).tolist()
        # Of one process's own terms the others know nothing, but all have the same averaged gradient.
        finite = abs(values[0]) < float("inf") and (self.world.size > 1 or abs(sum(values)) < float("inf"))
        if finite:
            state.scaler.step(state.optimizer)
        else:
            for buffers, backup in self._buffers:
                torch._foreach_copy_(buffers, backup)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.schedule.step()
        if state.ema is not None and finite:
            state.ema.update(state.model, step=context.step + 1)
        self.stopwatch.lap("update")
        terms = {name: value / len(pieces) for name, value in zip(sums, values[1:], strict=True)}
        return Taken(terms, values[0], finite)

    def _backward(self, batch: Batch, context: TrainingContext, share: float) -> dict[str, Tensor]:
        """Add `share` of the piece's gradient; returns its detached terms."""
        images = batch.images.to(self.device, non_blocking=True)
        targets = batch.targets.to(self.device, non_blocking=True)
        self.stopwatch.lap("data")
        taught = self.teacher(batch, images, targets) if self.teacher is not None else None
        self.stopwatch.lap("teacher")
        with autocast(self.device, self._dtype):
            inputs = self.state.model.normalize(images).contiguous(memory_format=self._format)
            student: ModelOutput = self.network(inputs)
        self.stopwatch.lap("student")
        if self._gathers:
            needs, world = self.method.needs, self.world
            student, targets = gather_output(student, needs, world), gather_rows(targets, world)
            taught = gather_output(taught, needs, world) if taught is not None else None
        terms = self.method(student, taught, targets, context)
        terms = {name: term * self._parts if name in self._summed else term for name, term in terms.items()}
        loss = torch.stack(list(terms.values())).sum() * share
        self.stopwatch.lap("loss")
        # Each process has the gradient of its own rows of the gathered batch, and all are averaged.
        self.state.scaler.scale(loss * self.world.size if self._gathers else loss).backward()
        self.stopwatch.lap("student")
        return {name: term.detach() for name, term in terms.items()}

    def _unsynchronised(self, *, last: bool) -> "contextlib.AbstractContextManager[None]":
        """Only the last piece's backward exchanges gradients."""
        return contextlib.nullcontext() if last or self.world.size == 1 else self.network.no_sync()  # type: ignore[operator]  # DistributedDataParallel's, of several processes


def _mix(*numbers: int) -> int:
    """A well-mixed 63-bit seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
