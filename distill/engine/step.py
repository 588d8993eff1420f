"""One optimiser step: teacher, student, terms, backward, update."""

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.loader import Batch
from ..methods import Method, TrainingContext
from ..models import Classifier
from .settings import TrainSettings
from .state import TrainState


@dataclass
class Step:
    """Everything a step needs that does not change between steps.

    Attributes:
        state: what is updated.
        teacher: in eval mode and without gradients, or None.
        method: the objective.
        settings: hyper-parameters.
        device: where it runs.
        dtype: the student's under autocast, or None for float32; the terms are always computed in float32.
        teacher_dtype: the teacher's, which may gain from half precision where the student does not.
    """

    state: TrainState
    teacher: Classifier | None
    method: Method
    settings: TrainSettings
    device: torch.device
    dtype: torch.dtype | None
    teacher_dtype: torch.dtype | None

    def __call__(self, batch: Batch, context: TrainingContext) -> dict[str, Tensor]:
        """Take the step; returns the detached weighted terms, still on the device."""
        state = self.state
        images = batch.images.to(self.device, non_blocking=True)
        targets = batch.targets.to(self.device, non_blocking=True)
        taught = None
        if self.teacher is not None:
            with torch.no_grad(), self._autocast(self.teacher_dtype):
                taught = self.teacher(self.teacher.normalize(images))
        with self._autocast(self.dtype):
            student = state.model(state.model.normalize(images))
        terms = self.method(student, taught, targets, context)
        loss = torch.stack(list(terms.values())).sum()
        state.optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(loss).backward()
        if self.settings.clip_grad_norm is not None:
            state.scaler.unscale_(state.optimizer)
            torch.nn.utils.clip_grad_norm_(state.model.parameters(), self.settings.clip_grad_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.schedule.step()
        if state.ema is not None:
            state.ema.update(state.model, step=context.step + 1)
        return {name: term.detach() for name, term in terms.items()}

    def _autocast(self, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)
