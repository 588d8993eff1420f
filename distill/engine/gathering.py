"""The outputs of all processes as one batch, so that a method's terms are those of the whole step."""

from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..models.output import ModelOutput
from .world import World

_ALWAYS = ("logits", "embedding_logits", "calibration_logits", "targets")  # supervised terms, or all, read them


def gather_rows(local: Tensor, world: World) -> Tensor:
    """(B, ...) of every process -> (world B, ...), by rank; the graph is kept for this process's rows alone."""
    pieces = [torch.empty_like(local) for _ in range(world.size)]
    dist.all_gather(pieces, local.detach().contiguous())
    pieces[world.rank] = local
    return torch.cat(pieces)


def gather_output(output: ModelOutput, needs: frozenset[str], world: World) -> ModelOutput:
    """The logits, and what else a method `needs`, of all processes; feature maps stay local and are left out."""
    fields = {name: getattr(output, name, None) for name in (*_ALWAYS, *sorted(needs - {"stages"}))}
    gathered: dict[str, Any] = {name: gather_rows(value, world) for name, value in fields.items() if value is not None}
    if output.embedding_logits is output.logits:
        gathered["embedding_logits"] = gathered["logits"]
    return replace(output, features=None, stages=[], **gathered)
