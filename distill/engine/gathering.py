"""The outputs of a whole step as one batch: of several pieces, of several processes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..models.output import ModelOutput
from .world import World

_ALWAYS = ("logits", "embedding_logits", "calibration_logits", "targets")  # supervised terms, or all, read them


def gather_rows(local: Tensor, world: World) -> Tensor:
    """(B, ...) of every process -> (world B, ...), by rank; the graph is kept for this process's rows alone."""
    pieces = [torch.empty_like(local, memory_format=torch.contiguous_format) for _ in range(world.size)]
    dist.all_gather(pieces, local.detach().contiguous())
    pieces[world.rank] = local
    return torch.cat(pieces)


def gather_output(output: ModelOutput, needs: frozenset[str], world: World) -> ModelOutput:
    """The logits, and what else a method `needs`, of all processes; nothing else is kept."""
    return _combine([output], needs, lambda tensors: gather_rows(tensors[0], world))


def join_outputs(outputs: Sequence[ModelOutput], needs: frozenset[str]) -> ModelOutput:
    """Those of several pieces one after the other, without a graph; as above."""
    return _combine(outputs, needs, lambda tensors: torch.cat([tensor.detach() for tensor in tensors]))


def tensors_of(output: ModelOutput, needs: frozenset[str]) -> list[Tensor]:
    """What the functions above keep, each tensor once and always in the same order."""
    found: list[Tensor] = []
    _combine([output], needs, lambda tensors: found.append(tensors[0]) or tensors[0])  # type: ignore[func-returns-value]
    return found


def _combine(
    outputs: Sequence[ModelOutput], needs: frozenset[str], join: Callable[[list[Tensor]], Tensor]
) -> ModelOutput:
    """Fields that are one tensor, as the two logits of a head that embeds, stay one."""
    made: dict[tuple[int, ...], Tensor] = {}

    def of(tensors: Sequence[Tensor]) -> Tensor:
        key = tuple(map(id, tensors))
        if key not in made:
            made[key] = join([*tensors])
        return made[key]

    fields: dict[str, Any] = {}
    for name in dict.fromkeys((*_ALWAYS, *sorted(needs), *(("reviewed",) if "stages" in needs else ()))):
        found = [getattr(output, name, None) for output in outputs]
        if isinstance(found[0], list):
            fields[name] = [of(level) for level in zip(*found, strict=True)]  # type: ignore[arg-type]
        elif found[0] is not None:
            fields[name] = of(found)  # type: ignore[arg-type]
    return ModelOutput(**fields)
