"""Whether results were found on the same data, under whichever seeds."""

import hashlib
from collections.abc import Iterable

import numpy as np

from ...runtime.datasets import Dataset
from ...runtime.errors import DataError
from ..experiment.splits import Splits
from .record import CellRecord, Data, Result


def digest_data(splits: Splits, *, drawn: bool) -> Data:
    """What a result says of its data.

    Args:
        splits: under the cell's seed.
        drawn: whether that seed drew the validation part from the training data.
    """
    parts = (splits.train, splits.validation, splits.test)
    given = [(splits.train, splits.validation)] if drawn else [(splits.train,), (splits.validation,)]
    return Data(
        data_sha256=_digest(part.fingerprint() for part in parts),
        training_sha256=_digest(_digest(_images(some)) for some in given),
        test_sha256=splits.test.fingerprint(),
        test_images=len(splits.test),
    )


def require_same_data(seed: int, found: Data | Result, known: Iterable[CellRecord]) -> None:
    """Raise DataError where a result was found on other data than `found`; it names the result and what differs.

    A result of a record from before the digests that no seed decides is compared by the number of its test images, and
    under its own seed by all of its data.

    Args:
        seed: that `found` was split with.
        found: the data, or a result on it.
        known: cells; those without a result say nothing.
    """
    for entry in known:
        other = _difference(found, entry.result, same_seed=entry.seed == seed) if entry.result else ""
        if other:
            raise DataError(
                f"{other} has other images, labels or classes than where the record's result of {entry.name} was "
                "found. Start another record (`--results`), or bring that data back."
            )


def _difference(found: Data | Result, other: Result, *, same_seed: bool) -> str:
    """The part that differs; "" for none that is known of."""
    undigested = None in (found.test_sha256, other.test_sha256)
    if _differ(found.test_sha256, other.test_sha256) or (undigested and found.test_images != other.test_images):
        return "the test split"
    if _differ(found.training_sha256, other.training_sha256):
        return "the training data"
    return "the data" if same_seed and found.data_sha256 != other.data_sha256 else ""


def _differ(one: str | None, other: str | None) -> bool:
    return None not in (one, other) and one != other


def _images(parts: Iterable[Dataset]) -> list[str]:
    """The classes, then a digest per image, sorted: of id, labels and, where it exists only in memory, pixels."""
    parts = list(parts)
    found = []
    for part in parts:
        for name, labels, image in zip(part.ids, part.labels, part.images, strict=True):
            digest = hashlib.sha256(name.encode() + b"\x1e" + np.ascontiguousarray(labels).tobytes())
            if isinstance(image, np.ndarray):
                digest.update(np.ascontiguousarray(image))
            found.append(digest.hexdigest())
    return ["\x1f".join(parts[0].classes), *sorted(found)]


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("".join(texts).encode()).hexdigest()
