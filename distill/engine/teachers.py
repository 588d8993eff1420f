"""Where a step's teacher outputs come from: the network itself, or what it said before."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.loader import Batch
from ..models import TeacherModel
from ..models.output import ModelOutput


class Teacher(Protocol):
    """What a step asks for."""

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        """The teacher's outputs, without a graph.

        Args:
            batch: says which samples and view these are.
            images: the batch's images on the training's device, uint8 (B, H, W, 3).
            targets: the batch's targets there, int8 (B, C).
        """


def autocast(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[Any]:
    """Autocast to `dtype`, or nothing for None (float32)."""
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)


@dataclass(frozen=True)
class LiveTeacher:
    """Runs the network.

    Attributes:
        model: in eval mode, without gradients, on `device`.
        dtype: of autocast, or None for float32; it may gain from half precision where the student does not.
    """

    model: TeacherModel
    device: torch.device
    dtype: torch.dtype | None

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        """One forward pass."""
        with torch.no_grad(), autocast(self.device, self.dtype):
            return self.model(self.model.normalize(images))


@dataclass(frozen=True)
class StoredTeacher:
    """Reads what the network said about the same views before.

    Attributes:
        cache: maps positions (B,), a view and targets (B, C) to the outputs.
    """

    cache: Callable[[Tensor, int, Tensor], ModelOutput]

    def __call__(self, batch: Batch, images: Tensor, targets: Tensor) -> ModelOutput:
        """One read of the batch's rows."""
        return self.cache(batch.indices, batch.view, targets)
