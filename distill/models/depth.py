"""How far each parameter of a backbone is from the head, for rates that fall with the depth."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from timm.models import group_parameters
from torch import nn

_TOGETHER = 12  # named parameters that are one layer where nobody says what a layer is, as timm.optim has it


@dataclass(frozen=True)
class _Names:
    """Stands for a module whose parameters have these names."""

    names: list[str]

    def named_parameters(self) -> Iterator[tuple[str, None]]:
        return ((name, None) for name in self.names)


def layers_below_head(backbone: nn.Module) -> dict[str, int]:
    """Of each named parameter, by how many layers it lies below the head: 1 is the last layer, 0 the head's own.

    A layer of a timm network is what timm says (`group_matcher`: a block; a last normalisation is the head's), of
    every other one 12 named parameters in their order, as `timm.optim.param_groups_layer_decay` counts them too.
    """
    names = [name for name, _ in backbone.named_parameters()]
    model: Any = getattr(backbone, "model", None)
    if not hasattr(model, "group_matcher"):
        layers = math.ceil(len(names) / _TOGETHER)
        return {name: layers - place // _TOGETHER for place, name in enumerate(names)}
    own = {name.removeprefix("model."): name for name in names}
    classifier = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ()
    classifiers = [classifier] if isinstance(classifier, str) else [*classifier]
    # A classifier that was dropped counts as if it were there.
    every = _Names([*own, *(name for one in classifiers if (name := f"{one}.weight") not in own)])
    layer_of = group_parameters(every, model.group_matcher(coarse=False), reverse=True)  # type: ignore[arg-type]
    last = max(layer_of.values())
    return {name: last - layer_of[short] for short, name in own.items()}
