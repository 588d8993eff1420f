"""A library's network with its own classifier, computed as the library computes it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.errors import ConfigError
from .backbone import Backbone
from .classifier import Classifier
from .precision import device_of, in_float32
from .torchvision_stages import possible_tails

_SIDE = 224


class LibraryClassifier(Classifier):
    """`head: library`: the logits are the network's own; a backbone with `with_logits` stands for all of it.

    Args:
        network: maps normalised images to its feature maps (none where the library shows none: `channels` is then 0)
            and, by `with_logits`, to these and the logits.
        num_classes: C.
        options: the others of a Classifier; `branches` need feature maps.
    """

    def __init__(self, network: nn.Module, num_classes: int, **options: Any) -> None:
        super().__init__(network, num_classes, head="library", **options)
        self.head_is_pretrained = bool(getattr(network, "classifier_is_pretrained", False))

    @property
    def head_names(self) -> tuple[str, ...]:
        """The library's classifier, wherever it lies in the network."""
        network: Any = self.backbone
        if isinstance(network, WithTail):
            return ("backbone.tail",)
        model = network.model
        found = model.get_classifier() if hasattr(model, "get_classifier") else None  # timm's
        heads = found if isinstance(found, (tuple, list, nn.ModuleList)) else [found]
        own = [getattr(model, name, None) for name in ("fc", "classifier", "head", "heads")] if found is None else heads
        return tuple(
            f"backbone.model.{name}" for name, module in model.named_modules() if any(module is one for one in own)
        )

    def require_readable_head(self) -> None:
        """Refused: UD's attention asks the head about maps that the network did not see.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("uncertainty attention reads a linear head, and `head: library` is the network's own.")

    def read_map(self, features: Tensor) -> Tensor:
        """The same of a classifier that reads its last map; others have none, or fail, or say something else."""
        network: Any = self.backbone
        logits: Tensor = network.read_map(features)
        return logits

    def _read(self, images: Tensor) -> tuple[list[Tensor], Tensor | None, Tensor]:
        network: Any = self.backbone
        stages, logits = network.with_logits(images)
        return stages, None, logits


class LogitsAlone(nn.Module):
    """A network of which nothing but the logits is known.

    Args:
        model: maps normalised images (B, 3, H, W) to logits (B, C).
    """

    channels = 0

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        """No maps."""
        return []

    def with_logits(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """No maps, and the logits (B, C)."""
        return [], self.model(images)


class WithTail(Backbone):
    """Stages, and what turns the last map into logits.

    Args:
        stages: as of a Backbone.
        channels: F of the last map.
        tail: (B, F, H, W) -> (B, C).
    """

    def __init__(self, stages: Sequence[nn.Module], channels: int, tail: nn.Module) -> None:
        super().__init__(stages, channels)
        self.tail = tail

    def with_logits(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps and the logits (B, C)."""
        maps = self(images)
        return maps, in_float32(self.read_map, maps[-1], device_of(self))

    def read_map(self, features: Tensor) -> Tensor:
        """What the tail says (B, C) of last maps (B, F, H, W)."""
        logits: Tensor = self.tail(features)
        return logits


@torch.no_grad()
def with_tail(model: nn.Module, stages: Sequence[nn.Module]) -> nn.Module:
    """`model` as stages and a tail, found by comparing one image's logits; without maps where none computes the same.

    Args:
        model: one of torchvision's.
        stages: of it.
    """
    training = model.training
    model.eval()
    image = torch.randn(1, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    expected, features = model(image), Backbone(stages, 0).eval()(image)[-1]
    found = [tail for tail in possible_tails(model) if _computes(tail.eval(), features, expected)]
    model.train(training)
    network: nn.Module = WithTail(stages, features.shape[1], found[0]) if found else LogitsAlone(model)
    return network.train(training)


def _computes(tail: nn.Module, features: Tensor, expected: Tensor) -> bool:
    try:
        logits = tail(features)
    except RuntimeError:  # shapes that do not meet
        return False
    return logits.shape == expected.shape and torch.allclose(logits, expected, rtol=1e-4, atol=1e-5)
