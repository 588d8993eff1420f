"""Training batches: which images a step sees depends on (seed, epoch, step) alone, never on workers or processes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from ...runtime.datasets import UNKNOWN, Dataset
from ...runtime.device import usable_cores
from ...runtime.errors import ConfigError, DataError
from .balance import balanced_shares
from .free_memory import processes_here
from .loading_processes import loading
from .mixing import Mix, mix_labels
from .views import Views

STAND_INS = 16
_MOST_WORKERS = 32
_MIXING = 0x3177  # of `Views.draws`


@dataclass
class Batch:
    """One training batch.

    Attributes:
        images: uint8 (B, H, W, 3) RGB.
        targets: int8 (B, C), 1 present, 0 absent, -1 unknown; of mixed images float32, between 0 and 1, or -1.
        indices: int64 (B,), positions in the dataset.
        view: which view of each image this is.
        bad: positions whose image could not be decoded; the next decodable image stands in for each.
    """

    images: Tensor
    targets: Tensor
    indices: Tensor
    view: int
    bad: list[int]

    @property
    def blank(self) -> Tensor:
        """Bool (B,): images that stand for one that cannot be decoded where no other could either."""
        return torch.isin(self.indices, torch.tensor(self.bad, dtype=torch.int64))

    def pin_memory(self) -> "Batch":
        """Called by the loader for transfers to a GPU."""
        return Batch(self.images.pin_memory(), self.targets.pin_memory(), self.indices, self.view, self.bad)


@dataclass(frozen=True)
class Share:
    """Which part of every step's batch this process computes, and in how many pieces.

    Attributes:
        rank: of this process.
        processes: that share a step.
        pieces: one after the other in each process (gradient accumulation).
    """

    rank: int = 0
    processes: int = 1
    pieces: int = 1

    def clip(self, batch_size: int, length: int) -> int:
        """`batch_size`, made to fit a small data set; raises ConfigError where it cannot be shared out equally."""
        parts = self.processes * self.pieces
        if batch_size % parts:
            raise ConfigError(
                f"`batch_size` {batch_size} is that of a whole step and cannot be shared equally by {self.processes} "
                f"processes x `accumulate` {self.pieces}: give a multiple of {parts}."
            )
        return min(batch_size, length // parts * parts)


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Shuffled batches of (view, index), a pure function of (seed, epoch); incomplete last batches are dropped.

    Each step gives `share.pieces` of them, this process's. The pieces with the same number of all processes, in the
    order of their ranks, are consecutive in the shuffled order.

    With `balance`, labels int8 (N, C), the images of an epoch are drawn instead, some more than once: see
    `balanced_shares`.

    Set `epoch` and `start` before iterating; `start` skips the steps that an interrupted epoch already took.
    """

    def __init__(
        self, views: Views, batch_size: int, seed: int, share: Share = Share(), balance: np.ndarray | None = None
    ) -> None:
        self.batch_size = share.clip(batch_size, len(views))
        if self.batch_size == 0:
            parts = share.processes * share.pieces
            raise DataError(f"{len(views)} images cannot be shared by the {parts} parts of a step.")
        self.epoch = 0
        self.start = 0
        self._views, self._seed, self._share = views, seed, share
        self._shares = None if balance is None else balanced_shares(balance)

    def __len__(self) -> int:
        """Steps in an epoch."""
        return len(self._views) // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        draws = np.random.default_rng([self._seed, self.epoch])
        if self._shares is None:
            order = draws.permutation(len(self._views))
        else:
            order = draws.choice(len(self._views), len(self._views), p=self._shares)
        view, share = self._views.of_epoch(self.epoch), self._share
        size = self.batch_size // (share.processes * share.pieces)
        for step in range(self.start, len(self)):
            for piece in range(share.pieces):
                first = step * self.batch_size + (piece * share.processes + share.rank) * size
                yield [(view, int(index)) for index in order[first : first + size]]


class TrainingImages(TorchDataset[tuple[Tensor, Tensor, int, int, list[int]]]):
    """The samples that a loading process reads, by (view, index)."""

    def __init__(self, dataset: Dataset, views: Views, mix: Mix | None = None) -> None:
        self.dataset, self.views, self.mix = dataset, views, mix

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, int, int, list[int]]:
        """An image or the next that can be decoded; after many failures a blank one of which nothing is known."""
        view, index = key
        bad: list[int] = []
        for offset in range(min(len(self.dataset), STAND_INS)):
            used = (index + offset) % len(self.dataset)
            try:
                image, labels = self.views.image(used, view), torch.from_numpy(self.dataset.labels[used])
            except DataError:
                bad.append(used)
                continue
            if self.mix is not None:
                image, labels = self._mixed(self.mix, image, (used, view), bad)
            return image, labels, used, view, bad
        blank = torch.zeros(*self.views.decoded.preprocessing.size, 3, dtype=torch.uint8)
        dtype = torch.int8 if self.mix is None else torch.float32
        return blank, torch.full((len(self.dataset.classes),), UNKNOWN, dtype=dtype), index, view, bad

    def _mixed(self, mix: Mix, image: Tensor, key: tuple[int, int], bad: list[int]) -> tuple[Tensor, Tensor]:
        """With another image's view of the same number, drawn for this image and view; alone where it is damaged."""
        index, view = key
        labels, draws = torch.from_numpy(self.dataset.labels[index]), self.views.draws(index, view, _MIXING)
        if draws.random() >= mix.probability:
            return image, labels.float()
        partner = int(draws.integers(len(self.dataset)))
        try:
            other = self.views.image(partner, view)
        except DataError:
            bad.append(partner)
            return image, labels.float()
        mixed, share = mix.images(image, other, draws)
        return mixed, mix_labels(labels, torch.from_numpy(self.dataset.labels[partner]), share)


def training_loader(
    dataset: Dataset,
    views: Views,
    sampler: EpochSampler,
    *,
    workers: int | None,
    device: torch.device,
    mix: Mix | None = None,
) -> "DataLoader[Batch]":
    """A loader that follows `sampler`, whose `epoch` and `start` are read at every iteration.

    Args:
        dataset: images and labels.
        views: of its images.
        sampler: the order.
        workers: loading processes; None: none for images in memory, else one per core of this process's share of the
            machine (torchrun's processes divide the cores), at most 32; beside a training on the CPU, which wants the
            cores itself, one per two cores.
        device: where the training runs.
        mix: how each image is mixed with another; None: not.
    """
    workers = choose_workers(dataset, workers, device)
    return DataLoader(
        cast("TorchDataset[Batch]", TrainingImages(dataset, views, mix)),  # `_collate` makes batches of its rows
        batch_sampler=sampler,
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
        persistent_workers=bool(workers),
        **loading(workers),
    )


def choose_workers(dataset: Dataset, workers: int | None, device: torch.device) -> int:
    """How many loading processes there are (see `training_loader`)."""
    if workers is not None:
        return workers
    in_memory = len(dataset) and isinstance(dataset.images[0], np.ndarray)
    cores = usable_cores() // processes_here()
    return 0 if in_memory else max(1, min(_MOST_WORKERS, cores // 2 if device.type == "cpu" else cores))


def _collate(samples: list[tuple[Tensor, Tensor, int, int, list[int]]]) -> Batch:
    images, targets, indices, views, bad = zip(*samples, strict=True)
    bad_ones = [index for group in bad for index in group]
    return Batch(_stacked(images), torch.stack(targets), torch.tensor(indices), views[0], bad_ones)


def _stacked(images: tuple[Tensor, ...]) -> Tensor:
    """uint8 (B, H, W, 3); a loading process writes it where the training reads it, which saves a copy."""
    if get_worker_info() is None:
        return torch.stack(images)
    shape = (len(images), *images[0].shape)
    shared = torch.UntypedStorage._new_shared(math.prod(shape))
    return torch.stack(images, out=torch.empty(0, dtype=torch.uint8).set_(shared).view(shape))
