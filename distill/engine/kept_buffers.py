"""A network's buffers (BatchNorm's statistics) as they were before a step, brought back if it was not taken."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor


class KeptBuffers:
    """Copies in one piece per dtype, so that a GPU is given a few operations and not one per buffer.

    Args:
        buffers: are changed in place by those who own them.
    """

    def __init__(self, buffers: Iterable[Tensor]) -> None:
        alike = defaultdict(list)
        for buffer in buffers:
            alike[buffer.dtype].append(buffer)
        self._groups: list[tuple[list[Tensor], Tensor, list[Tensor]]] = []
        for group in alike.values():
            kept = _in_one(group)
            pieces = kept.split([buffer.numel() for buffer in group])
            views = [piece.view(buffer.shape) for piece, buffer in zip(pieces, group, strict=True)]
            self._groups.append((group, kept, views))

    def keep(self) -> None:
        """Take the buffers as they are now."""
        for buffers, kept, _ in self._groups:
            kept.copy_(_in_one(buffers))

    def restore(self) -> None:
        """Bring back what was kept."""
        for buffers, _, views in self._groups:
            torch._foreach_copy_(buffers, views)

    def restore_unless(self, finite: Tensor) -> None:
        """The same where `finite`, a 0-dim bool on the device, is false; the host does not ask."""
        for buffers, kept, _ in self._groups:
            torch.where(finite, _in_one(buffers), kept, out=kept)
        self.restore()


def _in_one(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])
