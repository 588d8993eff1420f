"""What of a network learns at which rate."""

from ..engine import TrainSettings
from ..engine.groups import ParameterGroup, parameter_groups
from ..engine.parts import PartName
from ..methods.part import Part
from ..models import Classifier
from .facts import PlannedPart


def planned_parts(model: Classifier, added: Part | None, settings: TrainSettings) -> tuple[PlannedPart, ...]:
    """What learns alike, weights and biases together, from the head down."""
    found: dict[tuple[PartName, int], list[ParameterGroup]] = {}
    for group in parameter_groups(model, added, settings):
        found.setdefault((group.part, group.below_head or 0), []).append(group)
    order = ("method", "head", "backbone")
    return tuple(
        PlannedPart(
            part=part,
            below_head=groups[0].below_head,
            parameters=sum(parameter.numel() for group in groups for parameter in group.parameters),
            lr=settings.lr * groups[0].lr_scale,
            weight_decay=max(group.weight_decay for group in groups),
            freeze_epochs=settings.parts.of(part).freeze_epochs,
        )
        for (part, _), groups in sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    )
