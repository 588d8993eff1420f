"""Where torchvision's classification networks have their feature maps, and what they put behind the last one."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision import models

from ...runtime.errors import ConfigError
from .backbone import group_by_resolution
from .precision import device_of, in_float32
from .resnet import resnet_stages
from .swin import swin_stages
from .weights import AUXILIARY, LibraryNetwork

_INCEPTION_PIXELS = 299  # its unpadded convolutions leave nothing of a small image


class TorchvisionViT(nn.Module):
    """A Vision Transformer's tokens after every block as maps, the last ones normalised; without the class token.

    Args:
        model: torchvision's VisionTransformer.
    """

    def __init__(self, model: LibraryNetwork) -> None:
        super().__init__()
        self.model = model
        self.channels: int = model.hidden_dim
        self.pretrained_classifier = None  # it reads the class token, no map

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W) of the network's own size -> a map for each block."""
        return self._tokens(images)[0]

    def with_logits(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps, and what the network's own heads say (B, C)."""
        maps, tokens = self._tokens(images)
        return maps, in_float32(self.model.heads, tokens[:, 0], device_of(self))

    def _tokens(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        model, encoder = self.model, self.model.encoder
        patches = model._process_input(images)
        tokens = torch.cat([model.class_token.expand(len(images), -1, -1), patches], dim=1)
        tokens = encoder.dropout(tokens + encoder.pos_embedding)
        rows, blocks = images.shape[2] // model.patch_size, []
        for block in encoder.layers:
            tokens = block(tokens)
            blocks.append(tokens)
        blocks[-1] = tokens = encoder.ln(tokens)
        return [block[:, 1:].transpose(1, 2).unflatten(2, (rows, -1)) for block in blocks], tokens


class _TransformInput(nn.Module):
    """ImageNet's normalisation -> the range -1 to 1, in which the ImageNet weights of the Inceptions learned."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        scale, shift = torch.tensor([0.229, 0.224, 0.225]) / 0.5, (torch.tensor([0.485, 0.456, 0.406]) - 0.5) / 0.5
        self.register_buffer("scale", scale.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return images * self.scale + self.shift


def torchvision_stages(model: LibraryNetwork, name: str) -> list[nn.Module]:
    """The modules that map one feature map to the next, shallow to deep.

    Raises:
        ConfigError: the network is of none of the families that torchvision had when this was written.
    """
    for belongs, stages in _FAMILIES:
        if belongs(model):
            return stages(model)
    raise ConfigError(
        f"torchvision/{name}: it is not known where this network has its feature maps. `head: library` takes it as it "
        "is, with its own classifier."
    )


def _shufflenet_stages(model: LibraryNetwork) -> list[nn.Module]:
    first = nn.Sequential(model.maxpool, model.stage2)
    return [model.conv1, first, model.stage3, nn.Sequential(model.stage4, model.conv5)]


def _inception_stages(model: LibraryNetwork) -> list[nn.Module]:
    behind = {"avgpool", "dropout", "fc", *(key.rstrip(".") for key in AUXILIARY)}
    layers = [layer for key, layer in model.named_children() if key not in behind]
    stages = group_by_resolution(layers, _INCEPTION_PIXELS)
    return [nn.Sequential(_TransformInput(), stages[0]), *stages[1:]] if model.transform_input else stages


_FAMILIES: list[tuple[Callable[[LibraryNetwork], bool], Callable[[LibraryNetwork], list[nn.Module]]]] = [
    (lambda model: hasattr(model, "layer4"), resnet_stages),  # ResNet, ResNeXt, Wide-ResNet
    (lambda model: isinstance(model, models.ShuffleNetV2), _shufflenet_stages),
    (lambda model: isinstance(model, models.SwinTransformer), swin_stages),
    (lambda model: isinstance(model, models.RegNet), lambda model: [model.stem, *model.trunk_output]),
    # Its last activation is written in forward.
    (lambda model: isinstance(model, models.DenseNet), lambda model: group_by_resolution([*model.features, nn.ReLU()])),
    (lambda model: isinstance(model, (models.GoogLeNet, models.Inception3)), _inception_stages),
    (lambda model: isinstance(model, models.MaxVit), lambda model: [model.stem, *model.blocks]),
    (lambda model: isinstance(model, models.MNASNet), lambda model: group_by_resolution(model.layers)),
    # VGG, AlexNet, SqueezeNet, MobileNet, EfficientNet, ConvNeXt
    (
        lambda model: isinstance(getattr(model, "features", None), nn.Sequential),
        lambda model: group_by_resolution(model.features),
    ),
]


def possible_tails(model: nn.Module) -> list[nn.Sequential]:
    """What may stand between the last map and the logits: torchvision writes it in each network's forward."""
    pool = getattr(model, "avgpool", None) or nn.AdaptiveAvgPool2d(1)
    for key in ("classifier", "fc", "head"):
        if isinstance(classifier := getattr(model, key, None), nn.Module):
            flat = nn.Flatten()
            return [
                nn.Sequential(*parts)
                for parts in ((pool, flat, classifier), (pool, classifier), (classifier, flat), (classifier,))
            ]
    return []
