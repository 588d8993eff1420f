"""Backbones as a sequence of stages, so that every method can tap any of them."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ...runtime.errors import ConfigError
from ...runtime.registry import Registry
from .weights import PretrainedClassifier

Stem = Literal["standard", "small"]


class Backbone(nn.Module):
    """Stages applied one after the other.

    Args:
        stages: shallow to deep; each maps (B, F_i, H_i, W_i) to the next.
        channels: F of the last map.
        source: the library's model the stages were taken from, for the classifier its weights file may have held.
    """

    def __init__(self, stages: Sequence[nn.Module], channels: int, source: nn.Module | None = None) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = channels
        self.pretrained_classifier: PretrainedClassifier | None = getattr(source, "pretrained_classifier", None)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The map of every stage for normalised images (B, 3, H, W), shallow to deep."""
        maps = []
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return maps


class BackboneFactory:
    """Builds one family of backbones.

    Attributes:
        description: one line for `edgedistill list models`.
        widths: the multipliers that exist; empty when the family has none, None when any positive one does.
    """

    description: str = ""
    widths: tuple[float, ...] | None = ()

    def build(self, *, width: float, pretrained: str | None) -> Backbone:
        """The backbone, with weights from `pretrained` ("imagenet" or a local path) or freshly initialised."""
        raise NotImplementedError


BACKBONES: Registry[type[BackboneFactory]] = Registry("model", __package__)


def shrink_stem(backbone: nn.Module) -> None:
    """Remove the first stride, for inputs of about 32 to 128 px: every map gets twice the side, at 4x the cost.

    Raises:
        ConfigError: the network does not begin with a convolution of stride 2.
    """
    # All of them: a re-parameterizable stem has parallel convolutions on the image.
    first = [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3 and m.stride == (2, 2)]
    if not first:
        raise ConfigError("`stem: small` needs a network whose first convolution has stride 2; this one has none.")
    for conv in first:
        conv.stride = (1, 1)


@torch.no_grad()
def probe_channels(stages: Sequence[nn.Module]) -> int:
    """F of the last map, found by one tiny forward pass."""
    training = [stage.training for stage in stages]
    images = torch.zeros(1, 3, 64, 64)
    for stage in stages:
        images = stage.eval()(images)
    for stage, mode in zip(stages, training, strict=True):
        stage.train(mode)
    return images.shape[1]
