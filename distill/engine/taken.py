"""What a step did, on its way from the device to the host, which launches the next step meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Taken:
    """What a step did.

    Attributes:
        terms: weighted loss terms of the whole step or, where each process has its own, of this process's part.
        gradient_norm: before clipping.
        finite: whether the weights were updated.
        loss_scale: of fp16 after the step; 1 without.
    """

    terms: dict[str, float]
    gradient_norm: float
    finite: bool
    loss_scale: float = 1.0

    @property
    def culprit(self) -> str:
        """What was not finite, for a message."""
        broken = [name for name, value in self.terms.items() if not abs(value) < float("inf")]
        return f"the term {broken[0]!r}" if broken else "the gradient"


class Launched:
    """A step that the device has been given; `read` is the only place at which the host waits for one.

    Args:
        terms: of the step, 0-dim.
        gradient_norm: 0-dim.
        finite: 0-dim bool.
        loss_scale: 0-dim.
    """

    def __init__(self, terms: Mapping[str, Tensor], gradient_norm: Tensor, finite: Tensor, loss_scale: Tensor) -> None:
        self._names = tuple(terms)
        dtype = gradient_norm.dtype
        values = torch.stack([finite.to(dtype), loss_scale.to(dtype), gradient_norm, *terms.values()])
        # From a GPU into page-locked memory, which is filled when the GPU gets there.
        self._values = values.to("cpu", non_blocking=values.is_cuda)
        self._arrived: torch.cuda.Event | None = None
        if values.is_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> Taken:
        """What the step did, when the device is done with it."""
        if self._arrived is not None:
            self._arrived.synchronize()
        finite, loss_scale, norm, *terms = self._values.tolist()
        return Taken(dict(zip(self._names, terms, strict=True)), norm, bool(finite), loss_scale)
