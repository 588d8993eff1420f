"""One optimiser step: teacher, student, terms, backward, update; or nothing, where a number is not finite.

The host launches it and reads nothing of it: whether all is finite the device sees and obeys by itself.

The student may run under autocast; the terms are always computed in float32. The loss is that of the whole step, in
whatever pieces and processes its images come: parts of a mean are averaged, those of a sum added, and terms that relate
images are computed on all outputs together. Where these come in pieces, each piece runs twice (GradCache, RepL4NLP 2021
Sec. 3): first without a graph for the outputs, then for the gradient, with the gradient of the loss at its rows.
"""

import contextlib
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..cores import on_its_core
from ..data.loader import Batch
from ..methods import Method, TrainingContext
from ..models.output import ModelOutput
from .gathering import gather_output, gather_rows, join_outputs, tensors_of
from .kept_buffers import KeptBuffers
from .optimize import choose_dtype, choose_format
from .relations import require_terms
from .settings import TrainSettings
from .state import TrainState
from .stopwatch import Stopwatch
from .taken import Launched
from .teachers import Teacher, autocast
from .world import World


class _Part(NamedTuple):
    """Images of a step on the device, with what is known of them."""

    images: Tensor
    targets: Tensor
    taught: ModelOutput | None


@dataclass
class Step:
    """Everything a step needs that does not change between steps.

    Attributes:
        state: what is updated.
        network: `state.trained`, wrapped where several processes share a step.
        teacher: or None.
        method: the objective.
        settings: hyper-parameters.
        device: where it runs.
        world: the processes.
        stopwatch: gets the time of each phase.
        seed: of dropout.
        relations: names of the terms that relate images, where a step has several parts; see `relating_terms`.
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
    relations: frozenset[str]
    _buffers: KeptBuffers = field(init=False)
    _gathers: bool = field(init=False)
    _format: torch.memory_format = field(init=False)
    _dtype: torch.dtype | None = field(init=False)

    def __post_init__(self) -> None:
        self._format = choose_format(self.settings, self.device)
        self._dtype = choose_dtype(self.settings, self.state.model, self.device)
        self._buffers = KeptBuffers(self.state.trained.buffers())
        self._gathers = self.world.size > 1 and bool(self.relations) and self.settings.relations == "gathered"

    @on_its_core()
    def __call__(self, pieces: list[Batch], context: TrainingContext) -> Launched:
        """Take the step over `pieces`, of equal size.

        A skipped step leaves weights, moments, moving averages and BatchNorm's statistics as they were.
        """
        state = self.state
        again = bool(self.relations) and len(pieces) > 1
        if again:
            self.world.share(state.trained.buffers())  # as DistributedDataParallel does, but before both passes
        self._buffers.keep()
        terms = self._together(pieces, context) if again else self._one_by_one(pieces, context)
        state.scaler.unscale_(state.optimizer)
        norm = self._clip()
        # Of one process's own terms the others know nothing, but all have the same averaged gradient.
        judged = norm if self.world.size > 1 else torch.stack([norm, *terms.values()])
        finite = torch.isfinite(judged).all()
        self._update(finite)
        self._buffers.restore_unless(finite)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.schedule.step()
        if state.ema is not None:
            state.ema.follow(context.step + 1, finite)
        self.stopwatch.lap("update")
        return Launched(terms, norm, finite, state.scaler.scale(torch.ones((), device=self.device)))

    def _clip(self) -> Tensor:
        """Clip the gradient; returns its norm before."""
        parameters = [parameter for parameter in self.state.trained.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if self.settings.clip_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.settings.clip_grad_norm, norm)
        return norm

    def _update(self, finite: Tensor) -> None:
        """The optimiser's step, or nothing where `finite`, a 0-dim bool on the device, is false."""
        optimizer = self.state.optimizer
        if getattr(optimizer, "_step_supports_amp_scaling", False):  # PyTorch's name for fused ones, GradScaler's way
            optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
            optimizer.step()
            del optimizer.found_inf  # type: ignore[attr-defined]
        elif finite:  # the host waits: only where there is no fused optimiser, as on MPS
            optimizer.step()

    def _one_by_one(self, pieces: list[Batch], context: TrainingContext) -> dict[str, Tensor]:
        """Add the gradient of each piece, whose graph is freed before the next; returns the step's detached terms."""
        sums: dict[str, Tensor] = {}
        for number, batch in enumerate(pieces):
            self._seed(context, number)
            part = self._load(batch)
            with self._unsynchronised(last=number == len(pieces) - 1):
                student = self._run(self.network, part)
                terms = self._terms(student, part, context, pieces=len(pieces))
                self._backward(terms)
            for name, term in terms.items():
                sums[name] = sums[name] + term.detach() if name in sums else term.detach()
        return sums

    def _together(self, pieces: list[Batch], context: TrainingContext) -> dict[str, Tensor]:
        """The same for terms that relate images: all outputs, the loss and its gradient there, then every piece's."""
        needs, network = self.method.needs, getattr(self.network, "module", self.network)
        parts, outputs = [], []
        for number, batch in enumerate(pieces):
            self._seed(context, number)
            parts.append(self._load(batch))
            with torch.no_grad():
                outputs.append(self._run(network, parts[-1]))
        whole = join_outputs(outputs, needs)
        leaves = [tensor.requires_grad_() for tensor in tensors_of(whole, needs)]
        taught = [part.taught for part in parts if part.taught is not None]
        joined = _Part(
            torch.cat([part.images for part in parts]),
            torch.cat([part.targets for part in parts]),
            join_outputs(taught, needs) if taught else None,
        )
        terms = self._terms(whole, joined, context, pieces=1)
        self._backward(terms)
        self._buffers.restore()  # every piece finds them as in its first pass, and leaves them as it did there
        first = 0
        for number, part in enumerate(parts):
            self._seed(context, number)
            rows = slice(first, first := first + len(part.images))
            with self._unsynchronised(last=number == len(parts) - 1):
                found = tensors_of(self._run(self.network, part), needs)
                read = [
                    (tensor, leaf.grad[rows])
                    for tensor, leaf in zip(found, leaves, strict=True)
                    if leaf.grad is not None and tensor.requires_grad
                ]
                torch.autograd.backward([tensor for tensor, _ in read], [gradient for _, gradient in read])
            self.stopwatch.lap("student")
        return {name: term.detach() for name, term in terms.items()}

    def _seed(self, context: TrainingContext, number: int) -> None:
        """A step's draws depend on nothing before it, so that a run continues exactly, with any number of processes."""
        torch.manual_seed(_mix(self.seed, context.step, number, self.world.rank))

    def _load(self, batch: Batch) -> _Part:
        images = batch.images.to(self.device, non_blocking=True)
        targets = batch.targets.to(self.device, non_blocking=True)
        self.stopwatch.lap("data")
        taught = self.teacher(batch, images, targets) if self.teacher is not None else None
        self.stopwatch.lap("teacher")
        return _Part(images, targets, taught)

    def _run(self, network: nn.Module, part: _Part) -> ModelOutput:
        with autocast(self.device, self._dtype):
            inputs = self.state.model.normalize(part.images).contiguous(memory_format=self._format)
            output: ModelOutput = network(inputs)
        self.stopwatch.lap("student")
        return output

    def _terms(self, student: ModelOutput, part: _Part, context: TrainingContext, pieces: int) -> dict[str, Tensor]:
        """Of images that are one of `pieces` parts of this process's; their sum's gradients, added up, are the step's.

        Means are divided by the pieces already; between processes gradients are averaged later.
        """
        targets, taught = part.targets, part.taught
        if self._gathers:
            needs, world = self.method.needs, self.world
            student, targets = gather_output(student, needs, world), gather_rows(targets, world)
            taught = gather_output(taught, needs, world) if taught is not None else None
        terms = self.method(student, taught, targets, context)
        require_terms(terms, self.method, self.relations if max(pieces, self.world.size) > 1 else None)
        processes = 1 if self._gathers else self.world.size
        self.stopwatch.lap("loss")
        return {
            name: term.value * processes if term.reduction == "sum" else term.value / pieces
            for name, term in terms.items()
        }

    def _backward(self, terms: dict[str, Tensor]) -> None:
        loss = torch.stack(list(terms.values())).sum()
        # Each process has the gradient of its own rows of the gathered batch, and all are averaged.
        self.state.scaler.scale(loss * self.world.size if self._gathers else loss).backward()
        self.stopwatch.lap("student")

    def _unsynchronised(self, *, last: bool) -> "contextlib.AbstractContextManager[None]":
        """Only the last piece's backward exchanges gradients."""
        return contextlib.nullcontext() if last or self.world.size == 1 else self.network.no_sync()  # type: ignore[operator]  # DistributedDataParallel's, of several processes


def _mix(*numbers: int) -> int:
    """A well-mixed 63-bit seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
