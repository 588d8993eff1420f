"""Decode a data set into batches with a few threads, in order, in bounded memory, naming what cannot be decoded."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .errors import DataError, printable
from .images import ImageSource, source_name
from .in_order import in_order
from .preprocess import Decode, Preprocessing, loader

MAX_BAD_SHARE = 0.01
_NAMED = 3


class Batch(NamedTuple):
    """Decoded images.

    Attributes:
        indices: int64 (B,), the images' places in the sequence that was given.
        images: uint8 (B, H, W, 3) RGB, resized.
    """

    indices: np.ndarray
    images: np.ndarray


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be decoded: its place in the sequence, its id, and why."""

    index: int
    id: str
    reason: str

    @classmethod
    def of(cls, index: int, name: str, source: ImageSource, error: DataError) -> "SkippedImage":
        """Of what decoding `source` raised; `name` becomes its id, which the reason does not repeat."""
        return cls(index, name, str(error).rstrip(".").removeprefix(f"{source_name(source)}: "))

    @property
    def sentence(self) -> str:
        """For people: which image, and why."""
        return f"{printable(self.id)}: {self.reason}."


class DecodedBatches:
    """What `decode_batches` returns: iterate it for the batches, as often as needed.

    Attributes:
        skipped: what the latest pass could not decode so far, in order.
    """

    def __init__(
        self,
        images: Sequence[ImageSource],
        preprocessing: Preprocessing,
        batch_size: int,
        *,
        ids: Sequence[str] | None,
        threads: int,
        max_bad_share: float,
        read: Callable[[int], np.ndarray] | None,
        decode: Decode,
    ) -> None:
        if batch_size < 1 or threads < 1 or not 0 <= max_bad_share <= 1:
            raise ValueError(f"{batch_size=} and {threads=} must be at least 1, {max_bad_share=} within [0, 1]")
        if ids is not None and len(ids) != len(images):
            raise ValueError(f"{len(ids)} ids for {len(images)} images")
        self.skipped: list[SkippedImage] = []
        self._images = images
        self._read = read
        self._load = loader(decode)
        self._preprocessing = preprocessing
        self._batch_size = batch_size
        self._ids = ids
        self._threads = threads
        self._max_bad_share = max_bad_share

    def __iter__(self) -> Iterator[Batch]:
        self.skipped = []
        height, width = self._preprocessing.size
        indices: list[int] = []
        pixels = np.empty((self._batch_size, height, width, 3), np.uint8)
        for index, image in self._decoded():
            if isinstance(image, DataError):
                self._skip(index, image)
                continue
            pixels[len(indices)] = image
            indices.append(index)
            if len(indices) == self._batch_size:
                yield Batch(np.array(indices, np.int64), pixels)
                indices, pixels = [], np.empty_like(pixels)
        if indices:
            yield Batch(np.array(indices, np.int64), pixels[: len(indices)])

    def summary(self) -> str:
        """One sentence about the skipped images, for a log or a report; empty when there is none."""
        if not self.skipped:
            return ""
        return f"{len(self.skipped)} of {len(self._images)} images skipped: {self._named()}."

    def _decoded(self) -> Iterator[tuple[int, np.ndarray | DataError]]:
        """Each image, or why there is none, in order; at most a batch and two per thread are under way or waiting."""
        ahead = self._batch_size + 2 * self._threads
        places = range(len(self._images))
        return enumerate(in_order(self._decode, places, threads=self._threads, ahead=ahead, name="decode"))

    def _decode(self, index: int) -> np.ndarray | DataError:
        try:
            return self._load(self._images[index], self._preprocessing) if self._read is None else self._read(index)
        except DataError as error:
            return error

    def _skip(self, index: int, error: DataError) -> None:
        try:
            source = self._images[index]
        except DataError:  # of a sequence that reads an image when it is asked for it
            source = f"image {index}"
        name = self._ids[index] if self._ids else source_name(source, f"image {index}")
        self.skipped.append(SkippedImage.of(index, name, source, error))
        total, bad = len(self._images), len(self.skipped)
        if bad > tolerated(total, self._max_bad_share):
            raise DataError(
                f"{bad} of the first {index + 1} of {total} images cannot be decoded, past the tolerated share of "
                f"{self._max_bad_share:.2%}: {self._named()}. Mend or remove them, or raise the share."
            )

    def _named(self) -> str:
        names = "; ".join(f"{image.id} ({image.reason})" for image in self.skipped[:_NAMED])
        more = len(self.skipped) - _NAMED
        return f"{names}; and {more} more" if more > 0 else names


def decode_batches(
    images: Sequence[ImageSource],
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    ids: Sequence[str] | None = None,
    threads: int = 2,
    max_bad_share: float = MAX_BAD_SHARE,
    read: Callable[[int], np.ndarray] | None = None,
    decode: Decode = "full",
) -> DecodedBatches:
    """Decode and resize `images` as the graph takes them.

        batches = decode_batches(dataset.images, preprocessing, 32, ids=dataset.ids)
        for indices, images in batches:
            scores[indices] = model(images)
        print(batches.summary())

    Images come in their order; one that cannot be decoded is skipped and listed in `.skipped`, and the batches close
    up, so that all but the last hold `batch_size` images. Decoding runs ahead by one batch, whatever the number of
    images. `max_bad_share` 0 tolerates no bad image and 1 any number; in between at least one is tolerated, so that a
    small data set is not refused for a single file, but never all of them.

    Args:
        images: N sources, e.g. `Dataset.images`; a file object among them is read once.
        preprocessing: the size, resize mode and filter.
        batch_size: images per batch.
        ids: N names for messages; the paths when absent.
        threads: decoding threads (Pillow releases the interpreter's lock while it decodes and resizes).
        max_bad_share: share of N that may be bad, within [0, 1].
        read: gives the decoded image at a place, uint8 (H, W, 3), or raises DataError; asked in several threads. None:
            they are decoded here.
        decode: "full", or "reduced" as `preprocess.load_reduced` has it.

    Raises:
        DataError: while iterating, as soon as more images are bad than tolerated; says how many and names the first.
    """
    return DecodedBatches(
        images,
        preprocessing,
        batch_size,
        ids=ids,
        threads=threads,
        max_bad_share=max_bad_share,
        read=read,
        decode=decode,
    )


def tolerated(total: int, share: float) -> int:
    """How many of `total` images may be bad."""
    if share in (0, 1):
        return int(share * total)
    return min(max(1, int(share * total)), total - 1)
