"""`train.parts`: what a part of a network learns with, where that is not what the whole training says."""

import math
from typing import Annotated, Literal

from msgspec import Meta

from ...runtime.config import Config

PartName = Literal["backbone", "head", "method"]


class PartSettings(Config):
    """One part's share of a training's hyper-parameters.

    Attributes:
        lr_scale: times `lr`, at every step of the schedule. 0.1 is a tenth of the rate. None is 1, but for what a
            method adds and its paper trains at a rate of its own.
        weight_decay: in place of the training's, on weights only as there.
        freeze_epochs: for so many epochs the part stays as it is and computes as in an evaluation: with the running
            statistics of its BatchNorms, which stay too, and without dropout. "all" is the whole training.
    """

    lr_scale: Annotated[float, Meta(gt=0)] | None = None
    weight_decay: Annotated[float, Meta(ge=0)] | None = None
    freeze_epochs: Annotated[int, Meta(ge=0)] | Literal["all"] = 0

    def __post_init__(self) -> None:
        for key in ("lr_scale", "weight_decay"):
            value = getattr(self, key)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{key} {value} is no finite number")

    def freezes(self, epoch: int) -> bool:
        """Whether the part is frozen in an epoch, counted from 0."""
        return self.freeze_epochs == "all" or epoch < self.freeze_epochs


class Parts(Config):
    """The parts of a network.

    Attributes:
        backbone: all but the others.
        head: what turns the last map into the logits that ship; of `head: library` the library's classifier.
        method: what a method or `branches` add, which training alone needs.
    """

    backbone: PartSettings = PartSettings()
    head: PartSettings = PartSettings()
    method: PartSettings = PartSettings()

    def of(self, part: PartName) -> PartSettings:
        """One of them by name."""
        found: PartSettings = getattr(self, part)
        return found
