"""Backbones as a sequence of stages, so that every method can tap any of them."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ...runtime.errors import ConfigError
from ...runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD
from ...runtime.registry import Registry
from .weights import Pretrained, PretrainedClassifier

Stem = Literal["standard", "small", "unpooled"]
_PROBE_PIXELS = 64


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
        description: one line for `edgedistill list models`, ending with what `deployed_size` counts without a head: the
            multiply-accumulates for one image of 224 x 224 px (also where the network is meant for smaller ones) and
            the parameters.
        widths: the multipliers that exist; empty when the family has none, None when any positive one does.
        blocks: what `ModelSpec.block` may be.
        mean: of the images that its pretrained weights learned on, per RGB channel in [0, 1] units.
        std: likewise.
    """

    description: str = ""
    widths: tuple[float, ...] | None = ()
    blocks: tuple[str, ...] = ("standard",)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        """The backbone, with weights from `pretrained` ("imagenet" or a local path) or freshly initialised."""
        raise NotImplementedError


BACKBONES: Registry[type[BackboneFactory]] = Registry("model", __package__, "edgedistill.models")


def adapt_stem(backbone: nn.Module, stem: Stem) -> None:
    """Change what a network does first, for small inputs (see ModelSpec.stem); "standard" changes nothing.

    Raises:
        ConfigError: the network has no such stem.
    """
    if stem == "small":
        _shrink_stem(backbone)
    elif stem == "unpooled":
        _unpool_stem(backbone)


def _shrink_stem(backbone: nn.Module) -> None:
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


def _unpool_stem(backbone: nn.Module) -> None:
    """Remove the first max pooling, for inputs of about 32 to 128 px: every later map gets twice the side.

    The maps have the sizes that `small` gives, but the stem itself computes a quarter of the positions.

    Raises:
        ConfigError: the network has no max pooling.
    """
    for module in backbone.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.Identity())
                return
    raise ConfigError("`stem: unpooled` needs a network with a max pooling in its stem; this one has none.")


def probe_channels(stages: Sequence[nn.Module]) -> int:
    """F of the last map, found by one tiny forward pass."""
    return _probe_shapes(stages, _PROBE_PIXELS)[-1][1]


def group_by_resolution(layers: Sequence[nn.Module], pixels: int = _PROBE_PIXELS) -> list[nn.Module]:
    """Consecutive layers as one stage for each resolution of their outputs, found by one tiny forward pass.

    Layers at the image's own resolution join the next stage: so VGG, which halves late, has the stages of ResNet.
    Layers that shrink a map by less than half, as convolutions without padding do, stay in their stage.

    Args:
        layers: applied one after the other.
        pixels: a side of the image that is passed.
    """
    stages: list[list[nn.Module]] = []
    resolution = pixels
    for layer, shape in zip(layers, _probe_shapes(layers, pixels), strict=True):
        if not stages or (1.5 * shape[2] < resolution < pixels):
            stages.append([])
        resolution = shape[2]
        stages[-1].append(layer)
    return [stage[0] if len(stage) == 1 else nn.Sequential(*stage) for stage in stages]


@torch.no_grad()
def _probe_shapes(layers: Sequence[nn.Module], pixels: int) -> list[torch.Size]:
    """Of each layer's output for one image, in evaluation mode; the modes are left as they were."""
    training = [layer.training for layer in layers]
    maps = torch.zeros(1, 3, pixels, pixels)
    shapes = []
    for layer in layers:
        maps = layer.eval()(maps)
        shapes.append(maps.shape)
    for layer, mode in zip(layers, training, strict=True):
        layer.train(mode)
    return shapes
