"""Training batches: every sample's augmentation depends on (seed, epoch, index) alone, never on order or workers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from ...runtime.datasets import UNKNOWN, Dataset
from ...runtime.device import usable_cores
from ...runtime.errors import DataError
from ...runtime.preprocess import Preprocessing, load

_STAND_INS = 16


@dataclass
class Batch:
    """One training batch.

    Attributes:
        images: uint8 (B, H, W, 3) RGB.
        targets: int8 (B, C); 1 present, 0 absent, -1 unknown.
        indices: int64 (B,), positions in the dataset.
        bad: positions whose image could not be decoded; the next decodable image stands in for each.
    """

    images: Tensor
    targets: Tensor
    indices: Tensor
    bad: list[int]

    def pin_memory(self) -> "Batch":
        """Called by the loader for transfers to a GPU."""
        return Batch(self.images.pin_memory(), self.targets.pin_memory(), self.indices, self.bad)


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Shuffled batches of (epoch, index), a pure function of (seed, epoch); incomplete last batches are dropped.

    Set `epoch` and `start` before iterating; `start` skips the batches that an interrupted epoch already took.
    """

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self.length, self.batch_size, self.seed = length, min(batch_size, length), seed
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return self.length // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        for batch in range(self.start, len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(self.epoch, int(index)) for index in chosen]


class TrainingImages(TorchDataset[Batch]):
    """Decodes, resizes and augments one image; `augment` maps uint8 (3, H, W) to the same."""

    def __init__(self, dataset: Dataset, preprocessing: Preprocessing, augment: nn.Module, seed: int) -> None:
        self.dataset, self.preprocessing, self.augment, self.seed = dataset, preprocessing, augment, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, int, list[int]]:
        epoch, index = key
        image, labels, used, bad = self._decode(index)
        state = torch.get_rng_state()
        # Only the CPU generator: torch.manual_seed would also reseed a GPU's.
        torch.default_generator.manual_seed(int(np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)[0]))
        augmented = self.augment(torch.from_numpy(image).permute(2, 0, 1))
        torch.set_rng_state(state)
        return augmented.permute(1, 2, 0).contiguous(), torch.from_numpy(labels), used, bad

    def _decode(self, index: int) -> tuple[np.ndarray, np.ndarray, int, list[int]]:
        """An image or the next that can be decoded; after many failures a blank one of which nothing is known."""
        bad: list[int] = []
        for offset in range(min(len(self.dataset), _STAND_INS)):
            used = (index + offset) % len(self.dataset)
            try:
                image = load(self.dataset.images[used], self.preprocessing)
                return (image if image.flags.writeable else image.copy()), self.dataset.labels[used], used, bad
            except DataError:
                bad.append(used)
        blank = np.zeros((*self.preprocessing.size, 3), np.uint8)
        return blank, np.full_like(self.dataset.labels[index], UNKNOWN), index, bad


def training_loader(
    dataset: Dataset,
    preprocessing: Preprocessing,
    augment: nn.Module,
    *,
    batch_size: int,
    seed: int,
    workers: int | None,
    device: torch.device,
) -> tuple["DataLoader[Batch]", EpochSampler]:
    """A loader and the sampler that drives it.

    Args:
        dataset: images and labels.
        preprocessing: how an image is resized.
        augment: applied after resizing.
        batch_size: clipped to the dataset's length.
        seed: of order and augmentation.
        workers: decoding processes; None: none for images in memory, one beside a training on the CPU (which wants
            the cores itself), else one per core up to 8.
        device: where the training runs.
    """
    if len(dataset) == 0:
        raise DataError(f"{dataset.name}: there is no image to train on.")
    if workers is None:
        in_memory = isinstance(dataset.images[0], np.ndarray)
        workers = 0 if in_memory else 1 if device.type == "cpu" else min(8, usable_cores())
    sampler = EpochSampler(len(dataset), batch_size, seed)
    loader = DataLoader(
        TrainingImages(dataset, preprocessing, augment, seed),
        batch_sampler=sampler,
        collate_fn=_collate,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=bool(workers),
        generator=torch.Generator(),  # else every start draws from the global one, and a resumed dropout differs
        worker_init_fn=_quiet_worker if workers else None,
    )
    return loader, sampler


def _collate(samples: list[tuple[Tensor, Tensor, int, list[int]]]) -> Batch:
    images, targets, indices, bad = zip(*samples, strict=True)
    return Batch(torch.stack(images), torch.stack(targets), torch.tensor(indices), [i for group in bad for i in group])


def _quiet_worker(_: int) -> None:
    """Ctrl-C is the main process's to handle; a worker that printed a traceback would bury the message."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
