"""Teachers whose classes, or whose whole computation, are not ours."""

from collections.abc import Callable, Collection
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ...runtime.errors import EdgedistillError, first_line
from .class_map import ClassMap
from .classifier import Classifier
from .output import ModelOutput

Scale: TypeAlias = Literal["logits", "probabilities"]

CLAMP = 1e-6
"""Probabilities nearer to 0 or 1 count as this near, which is a logit of -13.8 or 13.8."""


class OutsideNetwork(nn.Module):
    """A program that scores images, as a network that teaches: its logits are all that is known of it.

    Args:
        score: uint8 (B, H, W, 3) RGB -> scores (B, C').
        classes: C' -> ours.
        scale: what the scores are.
        identity: what decides them, for the key of what is stored.
        name: for messages.
    """

    def __init__(
        self, score: Callable[[np.ndarray], Any], classes: ClassMap, scale: Scale, identity: str, name: str
    ) -> None:
        super().__init__()
        self.score, self.classes, self.scale, self.identity, self.name = score, classes, scale, identity, name
        self.register_buffer("_where", torch.zeros(()), persistent=False)  # knows the device
        self.eval()

    @property
    def silent(self) -> Tensor:
        """The classes that it says nothing of, bool (C,)."""
        return self.classes.silent

    def detach_branches(self, keep: Collection[str] = ()) -> None:
        """It has none."""

    def normalize(self, images: Tensor) -> Tensor:
        """As they are: the program does what else it needs."""
        return images

    def forward(self, images: Tensor) -> ModelOutput:
        """Logits (B, C) in float32, on the images' device."""
        scores = run_outside(self.score, images.cpu().numpy(), self.name)
        return ModelOutput(self.classes(to_logits(scores, self.scale, self.name)).to(images.device))

    def extra_repr(self) -> str:
        """What decides the logits."""
        return f"{self.identity}, {self.scale}, {self.classes.columns}"


class MappedNetwork(nn.Module):
    """A network with classes of its own that teaches ours, frozen and in eval mode.

    Args:
        network: gives logits (B, C').
        classes: C' -> ours.
    """

    def __init__(self, network: Classifier, classes: ClassMap) -> None:
        super().__init__()
        self.network, self.classes = network, classes
        self.eval().requires_grad_(False)

    @property
    def silent(self) -> Tensor:
        """The classes that it says nothing of, bool (C,)."""
        return self.classes.silent

    def detach_branches(self, keep: Collection[str] = ()) -> None:
        """Remove the network's training-only branches, but for those that give a field of `keep`."""
        self.network.detach_branches(keep)

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) RGB -> float32 (B, 3, H, W)."""
        return self.network.normalize(images)

    def forward(self, images: Tensor) -> ModelOutput:
        """Logits (B, C), and pooled features."""
        output = self.network(images)
        return ModelOutput(self.classes(output.logits), pooled=output.pooled)

    def extra_repr(self) -> str:
        """Which of the network's classes stand for ours."""
        return str(self.classes.columns)


def run_outside(score: Callable[[np.ndarray], Any], images: np.ndarray, name: str) -> Tensor:
    """Scores float32 (B, C') of uint8 images (B, H, W, 3); raises EdgedistillError where there are none."""
    try:
        found = score(np.ascontiguousarray(images))
        scores = torch.as_tensor(found.detach() if isinstance(found, Tensor) else np.asarray(found)).float().cpu()
    except EdgedistillError:
        raise
    except Exception as error:  # a stranger's program may raise anything
        raise EdgedistillError(f"{name}: failed ({type(error).__name__}: {first_line(error)}).") from error
    if scores.ndim != 2 or len(scores) != len(images):
        raise EdgedistillError(
            f"{name}: gave scores of shape {tuple(scores.shape)} for {len(images)} images: give (images, classes)."
        )
    return scores


def to_logits(scores: Tensor, scale: Scale, name: str) -> Tensor:
    """The logits of scores; probabilities are clamped to [CLAMP, 1 - CLAMP].

    Raises:
        EdgedistillError: they are not finite, or no probabilities.
    """
    if not torch.isfinite(scores).all():
        raise EdgedistillError(f"{name}: gives NaN or infinity.")
    if scale == "logits":
        return scores
    if ((scores < 0) | (scores > 1)).any():
        raise EdgedistillError(
            f"{name}: gives {scores.min():.4g} to {scores.max():.4g}, which are no probabilities: set `teacher.scale: "
            "logits` if they are logits."
        )
    return torch.logit(scores.double().clamp(CLAMP, 1 - CLAMP)).float()
