"""What re-parameterization does to the ranges of weights: each layer before, in its branches, and after, fused."""

from typing import Any

import torch
from torch import nn

from ..distill.models.reparameterize import reparameterize
from ..runtime.record import Record
from .quantization.weight_ranges import WeightRange, weight_range


class LayerRanges(Record):
    """A layer that the device computes.

    Attributes:
        name: of its module in the deploy form.
        after: of its weights there.
        branches: of the layers that it was fused of, by their names below its block; empty where it is as trained.
    """

    name: str
    after: WeightRange
    branches: dict[str, WeightRange] = {}

    @property
    def before(self) -> float:
        """The lowest signal-to-noise ratio of the branches in dB; its own where there are none."""
        return min((branch.snr for branch in self.branches.values()), default=self.after.snr)


@torch.no_grad()
def fusion_ranges(model: nn.Module) -> list[LayerRanges]:
    """Every convolution and matrix of a model's deploy form, the lowest signal-to-noise ratio first.

    Args:
        model: as it was trained; left as it is.
    """
    trained = _layers(model)
    modules = {name for name, _ in model.named_modules()}
    found = []
    for name, layer in _layers(reparameterize(model)).items():
        after = _range(layer)
        if after is None:
            continue
        branches: dict[str, WeightRange] = {}
        block = name
        if name not in trained:
            while block not in modules:
                block = block.rpartition(".")[0]
            inner = {part: _range(other) for part, other in trained.items() if part.startswith(f"{block}.")}
            branches = {part.removeprefix(f"{block}."): of for part, of in inner.items() if of is not None}
        found.append(LayerRanges(name=name, after=after, branches=branches))
    return sorted(found, key=lambda of: of.after.snr)


def _layers(model: nn.Module) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def _range(layer: Any) -> WeightRange | None:
    return weight_range(layer.weight.detach().float().cpu().numpy())
