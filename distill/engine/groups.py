"""Which parameters learn at which rate, with which weight decay, and from which epoch on."""

from collections import defaultdict
from dataclasses import dataclass

from torch import nn

from ..models.depth import layers_below_head
from .parts import PartName, Parts
from .settings import TrainSettings

_BRANCHES = "branches."


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that learn alike.

    Attributes:
        part: of the network.
        below_head: layers between them and the head, see `models.depth`; None where the rate does not depend on it.
        lr_scale: times the training's rate.
        weight_decay: 0 for biases and normalisations.
        parameters: at least one.
    """

    part: PartName
    below_head: int | None
    lr_scale: float
    weight_decay: float
    parameters: list[nn.Parameter]


def parameter_groups(
    student: nn.Module, method_part: nn.Module | None, settings: TrainSettings
) -> list[ParameterGroup]:
    """Everything that a training may change, weights before biases and normalisations.

    Args:
        student: the network.
        method_part: what the method adds beside it, if anything.
        settings: whose `parts` and `layer_decay` decide.
    """
    depths: dict[str, int] = {}
    backbone = getattr(student, "backbone", None)
    if settings.layer_decay is not None and isinstance(backbone, nn.Module):
        depths = {f"backbone.{name}": depth for name, depth in layers_below_head(backbone).items()}
    found: dict[tuple[bool, PartName, int | None], list[nn.Parameter]] = defaultdict(list)
    for part, name, parameter in _trained(student, method_part):
        depth = depths.get(name, 0) if depths and part == "backbone" else None
        found[parameter.ndim <= 1, part, depth].append(parameter)
    return [
        ParameterGroup(
            part,
            depth,
            _scale(settings, part, method_part) * (settings.layer_decay or 1.0) ** (depth or 0),
            0.0 if plain else _decay(settings, part),
            parameters,
        )
        for (plain, part, depth), parameters in sorted(found.items(), key=lambda item: item[0][0])
    ]


def _trained(student: nn.Module, method_part: nn.Module | None) -> list[tuple[PartName, str, nn.Parameter]]:
    """Part, name and parameter, in the order of the modules; what a network holds still by itself is left out."""
    heads = tuple(f"{name}." for name in getattr(student, "head_names", ()))
    found: list[tuple[PartName, str, nn.Parameter]] = []
    for name, parameter in student.named_parameters():
        part: PartName = "backbone"
        if name.startswith(_BRANCHES):
            part = "method"
        elif name.startswith(heads):
            part = "head"
        found.append((part, name, parameter))
    if method_part is not None:
        found += [("method", name, parameter) for name, parameter in method_part.named_parameters()]
    return [(part, name, parameter) for part, name, parameter in found if parameter.requires_grad]


def _scale(settings: TrainSettings, part: PartName, method_part: nn.Module | None) -> float:
    own = settings.parts.of(part).lr_scale
    if own is not None:
        return own
    rate: float | None = getattr(method_part, "adam_rate", None) if part == "method" else None
    return 1.0 if rate is None or settings.optimizer == "sgd" else rate / settings.lr


def _decay(settings: TrainSettings, part: PartName) -> float:
    own = settings.parts.of(part).weight_decay
    return settings.weight_decay if own is None else own


class Freezing:
    """Holds parts of a network still for their `freeze_epochs`.

    Args:
        student: the network, in which nothing is frozen yet.
        method_part: what the method adds beside it, if anything.
        parts: which, and for how long.
    """

    def __init__(self, student: nn.Module, method_part: nn.Module | None, parts: Parts) -> None:
        self._parts = parts
        self._parameters: dict[PartName, list[nn.Parameter]] = defaultdict(list)
        for part, _, parameter in _trained(student, method_part):
            self._parameters[part].append(parameter)
        heads = [student.get_submodule(name) for name in getattr(student, "head_names", ())]
        added = [getattr(student, "branches", None), method_part]
        # In this order: a library's head lies within its backbone.
        self._modules: list[tuple[PartName, list[nn.Module]]] = [
            ("backbone", [getattr(student, "backbone", student)]),
            ("head", heads),
            ("method", [module for module in added if module is not None]),
        ]

    def apply(self, epoch: int) -> bool:
        """Freeze what is frozen in `epoch`, of a network that was just put in training mode.

        Returns:
            Whether other parameters than before have gradients.
        """
        changed = False
        for part, parameters in self._parameters.items():
            learns = not self._parts.of(part).freezes(epoch)
            changed |= any(parameter.requires_grad is not learns for parameter in parameters)
            for parameter in parameters:
                parameter.requires_grad_(learns)
        backbone_is_still = self._parts.backbone.freezes(epoch)
        for part, modules in self._modules:
            still = self._parts.of(part).freezes(epoch)
            if still or (part == "head" and backbone_is_still):
                for module in modules:
                    module.train(not still)
        return changed

    def learns(self, epoch: int) -> bool:
        """Whether anything does in `epoch`."""
        return any(found and not self._parts.of(part).freezes(epoch) for part, found in self._parameters.items())
