"""A training part's decoded images in the memory of the device that trains on them, and batches made there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ...runtime.datasets import UNKNOWN, Dataset
from ...runtime.errors import ConfigError, DataError, EdgedistillError
from .decoded import DecodedCache, DecodedImages
from .free_memory import free_memory
from .loader import STAND_INS, Batch, EpochSampler
from .loading_processes import loading
from .mixing import Mix
from .views import Views

AUTO_SHARE = 0.25  # of the device's free memory, that `auto` takes at most

_DECODED_AT_ONCE = 64

# The latest images with what they are: teacher, baseline and student see the same in turn.
_held: dict[tuple[str, torch.device], "DeviceImages"] = {}


@dataclass(frozen=True)
class DeviceImages:
    """All images of a data set, decoded and resized.

    Attributes:
        pixels: uint8 (N, H, W, 3) on the device; black where an image cannot be decoded.
        decodable: bool (N,).
    """

    pixels: Tensor
    decodable: np.ndarray


def nbytes(decoded: DecodedImages) -> int:
    """Of the images on a device."""
    height, width = decoded.preprocessing.size
    return len(decoded) * height * width * 3


def fits_device(cache: DecodedCache, views: Views, device: torch.device, mix: Mix | None, where: str) -> bool:
    """Whether a training keeps its images on `device`: "device" asks for it, "auto" does so on a GPU that has room.

    Args:
        cache: of the settings.
        views: that the training shows.
        device: where it runs.
        mix: how it mixes images.
        where: the training, for messages.

    Raises:
        ConfigError: "device", and a step of the augmentation cannot be computed there.
        EdgedistillError: "device", and its memory is too small.
    """
    if cache not in ("auto", "device") or (cache == "auto" and device.type != "cuda"):
        return False
    host_only = views.on_host_only() or (["mix"] if mix is not None else [])
    needed, kept = nbytes(views.decoded), (views.decoded.key, device) in _held
    free = needed if kept else _free_memory(device)
    if cache == "auto":
        return not host_only and (kept or 0 < needed <= AUTO_SHARE * free)
    if host_only:
        raise ConfigError(
            f"{where}: `decoded_cache: device` makes batches by flip, shift, cutout and random_erasing, which are the "
            f"same to the pixel there; {', '.join(host_only)} is computed on the host alone. Leave it out, or "
            "set `decoded_cache: auto`."
        )
    if needed > free:
        raise EdgedistillError(
            f"{where}: `decoded_cache: device` needs {needed / 1e9:.3g} GB of the device's memory, of which "
            f"{free / 1e9:.3g} are free. Set `decoded_cache: auto`."
        )
    return True


def device_images(decoded: DecodedImages, device: torch.device, workers: int) -> DeviceImages:
    """Decode all images by `workers` processes, unless they are there from the training before."""
    key = (decoded.key, device)
    if key not in _held:
        release_device_memory()
        _held[key] = _filled(decoded, device, workers)
    return _held[key]


def release_device_memory() -> None:
    """Forget the images; they are freed when the last training that uses them ends."""
    _held.clear()


class DeviceLoader:
    """Batches of the same pixels as `training_loader`'s, whose images lie on the device.

    What decides an image's view is drawn on the host, by the same draws as there; one process does it beside the
    training, and none with `workers: 0`.

    Args:
        dataset: images and labels.
        images: decoded.
        views: of them.
        sampler: the order; its `epoch` and `start` are read at every iteration.
        workers: None chooses.
    """

    def __init__(
        self, dataset: Dataset, images: DeviceImages, views: Views, sampler: EpochSampler, *, workers: int | None
    ) -> None:
        self._images, self._views = images, views
        cuda = images.pixels.is_cuda
        processes = int(cuda) if workers is None else min(workers, 1)
        self._loader: DataLoader[_Drawn] = DataLoader(
            cast("TorchDataset[_Drawn]", _Draws(dataset, images.decodable, views)),  # `_together` makes it of rows
            batch_sampler=sampler,
            collate_fn=_together,
            pin_memory=cuda,
            persistent_workers=bool(processes),
            **loading(processes),
        )

    def __iter__(self) -> Iterator[Batch]:
        pixels = self._images.pixels
        for drawn in self._loader:
            rows, draws = (part.to(pixels.device, non_blocking=True) for part in (drawn.indices, drawn.draws))
            images = self._views.batch(pixels[rows], draws)
            for place in drawn.blank:
                images[place] = 0
            yield Batch(images, drawn.targets, drawn.indices, drawn.view, drawn.bad)


@dataclass
class _Drawn:
    """A batch without its pixels; `blank` are the places at which no image could be decoded."""

    indices: Tensor
    targets: Tensor
    draws: Tensor
    view: int
    bad: list[int]
    blank: list[int]

    def pin_memory(self) -> "_Drawn":
        """Called by the loader for transfers to a GPU."""
        indices, targets, draws = (part.pin_memory() for part in (self.indices, self.targets, self.draws))
        return _Drawn(indices, targets, draws, self.view, self.bad, self.blank)


class _Draws(TorchDataset[tuple[Any, ...]]):
    """As `TrainingImages`, with the numbers that decide an image's view in its place."""

    def __init__(self, dataset: Dataset, decodable: np.ndarray, views: Views) -> None:
        self.labels, self.decodable, self.views = dataset.labels, decodable, views

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Any, ...]:
        view, index = key
        tried = (index + np.arange(min(len(self), STAND_INS))) % len(self)
        found = np.flatnonzero(self.decodable[tried])
        bad = tried[: found[0] if len(found) else None].tolist()
        if not len(found):
            unknown = torch.full((self.labels.shape[1],), UNKNOWN, dtype=torch.int8)
            return index, unknown, self.views.draw(index, view), view, bad, True
        used = int(tried[found[0]])
        return used, torch.from_numpy(self.labels[used]), self.views.draw(used, view), view, bad, False


def _together(samples: list[tuple[Any, ...]]) -> _Drawn:
    indices, targets, draws, views, bad, blank = zip(*samples, strict=True)
    return _Drawn(
        torch.tensor(indices),
        torch.stack(targets),
        torch.tensor(draws, dtype=torch.int64),
        views[0],
        [index for group in bad for index in group],
        [place for place, is_blank in enumerate(blank) if is_blank],
    )


class _Decodable(TorchDataset[tuple[Tensor, bool]]):
    """Images, and whether they could be decoded."""

    def __init__(self, decoded: DecodedImages) -> None:
        self.decoded = decoded

    def __len__(self) -> int:
        return len(self.decoded)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        try:
            return torch.from_numpy(self.decoded[index]), True
        except DataError:
            return torch.zeros(*self.decoded.preprocessing.size, 3, dtype=torch.uint8), False


def _filled(decoded: DecodedImages, device: torch.device, workers: int) -> DeviceImages:
    pixels = torch.empty(len(decoded), *decoded.preprocessing.size, 3, dtype=torch.uint8, device=device)
    decodable, done = np.ones(len(decoded), np.bool_), 0
    loader = DataLoader(
        _Decodable(decoded),
        batch_size=_DECODED_AT_ONCE,
        pin_memory=device.type == "cuda",
        **loading(workers),
    )
    for images, found in loader:
        rows = slice(done, done := done + len(images))
        pixels[rows].copy_(images, non_blocking=True)
        decodable[rows] = found.numpy()
    return DeviceImages(pixels, decodable)


def _free_memory(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
