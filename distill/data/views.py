"""Augmented views: what an epoch shows of an image is a pure function of (view seed, sample id, view)."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from ...runtime.datasets import Dataset
from ...runtime.errors import ConfigError
from .augment import Step, build_augmentations, read_augmentations
from .decoded import DecodedImages
from .torchvision_steps import TorchvisionStep
from .transforms import Batchable, HorizontalFlip

_UNKNOWN_FLIP = "whether `flip` mirrors an image is not known after `{}`: put it first."


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
        self._names = [step if isinstance(step, str) else step["name"] for step in steps]
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
        with self._generator(index, view):
            augmented = self._augment(pixels.permute(2, 0, 1))
        return augmented.permute(1, 2, 0).contiguous()

    def on_host_only(self) -> list[str]:
        """Names of the steps that cannot be computed for a whole batch with the same pixels, see `batch`."""
        built = zip(self._names, self._augment, strict=True)
        return [name for name, step in built if not isinstance(step, Batchable)]

    def draw(self, index: int, view: int) -> list[int]:
        """What decides this view besides the decoded pixels."""
        with self._generator(index, view):
            return [number for step in self._batchable() for number in step.draw(*self.decoded.preprocessing.size)]

    @property
    def mirrors(self) -> bool:
        """Whether there is a step `flip`."""
        return any(isinstance(step, HorizontalFlip) for step in self._augment)

    def is_mirrored(self, index: int, view: int) -> bool:
        """Whether the step `flip` mirrors this view; other steps that mirror do not count.

        Raises:
            ConfigError: a step before it draws what only the pixels tell.
        """
        last = max((place for place, step in enumerate(self._augment) if isinstance(step, HorizontalFlip)), default=-1)
        mirrored = False
        with self._generator(index, view):
            for name, step in zip(self._names[: last + 1], self._augment, strict=False):
                if not isinstance(step, Batchable):
                    raise ConfigError(f"`augment`: {_UNKNOWN_FLIP.format(name)}")
                draws = step.draw(*self.decoded.preprocessing.size)
                mirrored ^= isinstance(step, HorizontalFlip) and draws == [1]
        return mirrored

    def batch(self, decoded: Tensor, draws: Tensor) -> Tensor:
        """The views that `image` gives, of many images at once, where they lie.

        Args:
            decoded: uint8 (B, H, W, 3).
            draws: int64 (B, K) on the same device, of `draw`.
        """
        done = 0
        for step, count in zip(self._batchable(), self._counts, strict=True):
            decoded = step.batch(decoded, draws[:, done : done + count])
            done += count
        return decoded

    def _batchable(self) -> list[Batchable]:
        return [step for step in self._augment if isinstance(step, Batchable)]

    @cached_property
    def _counts(self) -> list[int]:
        """How many numbers each step draws."""
        with torch.random.fork_rng(devices=[]):
            return [len(step.draw(*self.decoded.preprocessing.size)) for step in self._batchable()]

    @contextlib.contextmanager
    def _generator(self, index: int, view: int) -> Iterator[None]:
        """Inside, torch's generator is in the state that belongs to this view."""
        seed = np.random.SeedSequence([self.seed, view, self._samples[index]]).generate_state(1)[0]
        state = torch.get_rng_state()
        torch.default_generator.manual_seed(int(seed))  # torch.manual_seed would also reseed a GPU's
        try:
            yield
        finally:
            torch.set_rng_state(state)


def require_known_flips(steps: Sequence[Any], size: tuple[int, int], *, where: str) -> None:
    """Raise ConfigError where `Views.is_mirrored` would, before there are any images.

    Args:
        steps: a recipe's `augment:` list.
        size: (height, width) of the images.
        where: begins the message.
    """
    built = list(build_augmentations(read_augmentations(steps, where=where), size, where=where))
    last = max((place for place, step in enumerate(built) if isinstance(step, HorizontalFlip)), default=0)
    for given, step in zip(steps[:last], built, strict=False):
        if not isinstance(step, Batchable):
            name = given if isinstance(given, str) else given["name"]
            raise ConfigError(f"{where}: {_UNKNOWN_FLIP.format(name)}")


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
