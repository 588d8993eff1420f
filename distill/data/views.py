"""Augmented views: what an epoch shows of an image is a pure function of (view seed, sample id, view)."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from ...runtime.datasets import Dataset
from .augment import Step, build_augmentations, read_augmentations
from .decoded import DecodedImages
from .torchvision_steps import TorchvisionStep


class Views:
    """The augmented images of a data set, replayable one by one.

    Order, shuffling, workers, the number of processes and other images never matter, so that a teacher's outputs can
    be stored per (sample, view) and shared.

    Args:
        dataset: names the samples.
        decoded: its images, decoded and resized.
        steps: a recipe's `augment:` list.
        seed: of every random draw.
        count: how many different views an image has, shown in turn; None: a new one every epoch. Without
            augmentation there is one.
        mixed: whether each view is mixed with another image's later, so that there are several without augmentation.
        where: the recipe, for messages.
    """

    def __init__(
        self,
        dataset: Dataset,
        decoded: DecodedImages,
        steps: Sequence[Any],
        *,
        seed: int,
        count: int | None = None,
        mixed: bool = False,
        where: str = "augment",
    ) -> None:
        chosen = read_augmentations(steps, where=where)
        self.decoded, self.seed = decoded, seed
        self.count = count if chosen or mixed else 1
        self._augment = build_augmentations(chosen, decoded.preprocessing.size, where=where)
        self._transform = {
            "augment": [_deciding(step) for step in chosen],
            "decoding": decoded.transform,
            "seed": seed if chosen else None,
        }
        self._samples = [_number(name) for name in dataset.ids]

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def transform(self) -> dict[str, Any]:
        """All that decides the pixels of (sample, view) besides the image file; plain data, to be hashed."""
        return self._transform

    def of_epoch(self, epoch: int) -> int:
        """The view that `epoch` shows."""
        return epoch if self.count is None else epoch % self.count

    def draws(self, index: int, view: int, what: int) -> np.random.Generator:
        """Random numbers of this view of this sample, beside those of its augmentation; `what` tells them apart."""
        return np.random.default_rng([self.seed, view, self._samples[index], what])

    def image(self, index: int, view: int) -> Tensor:
        """uint8 (H, W, 3) RGB; raises DataError where the image cannot be decoded."""
        pixels = torch.from_numpy(self.decoded[index])
        if not len(self._augment):
            return pixels
        seed = np.random.SeedSequence([self.seed, view, self._samples[index]]).generate_state(1)[0]
        state = torch.get_rng_state()
        torch.default_generator.manual_seed(int(seed))  # torch.manual_seed would also reseed a GPU's
        augmented = self._augment(pixels.permute(2, 0, 1))
        torch.set_rng_state(state)
        return augmented.permute(1, 2, 0).contiguous()


def _deciding(step: Step) -> list[Any]:
    inner = step.options.get("transforms") if isinstance(step, TorchvisionStep) else None
    return [
        type(step).__name__,
        msgspec.to_builtins(step),
        *([step.edition] if step.edition > 1 else []),
        *([[_deciding(one) for one in inner]] if inner else []),  # plain data names no step
    ]


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
