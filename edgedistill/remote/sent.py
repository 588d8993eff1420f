"""What travels: a bundle's files, photographs, and a data set as its labels and the photographs that it lists.

The device opens no label file: it gets what was read here, so that its report has the same fingerprint.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.bundle import MANIFEST, Bundle, FileEntry
from ..runtime.datasets import Dataset
from ..runtime.datasets.folder import image_names
from ..runtime.errors import DataError
from ..runtime.record import Record
from .sending import Content


class SentFile(Record):
    """A file of the store and its place, relative to the bundle's folder with forward slashes."""

    path: str
    sha256: str


class SentDataset(Record, tag="sent"):
    """A `Dataset` on the wire.

    Attributes:
        name: as in `Dataset`, and so are `classes` and `ids`.
        labels: int8 (N, C), row after row.
        files: the SHA-256 of each image's file; empty where it is missing here, too.
        arrays: that the files are .npy of uint8 (H, W, 3), not photographs.
    """

    name: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    labels: bytes
    files: tuple[str, ...]
    arrays: tuple[bool, ...]


class SentFolder(Record, tag="folder"):
    """Photographs without labels: the files of a folder, which is laid out again on the device."""

    files: tuple[SentFile, ...]


class DeviceData(Record, tag="there"):
    """`OnDevice` on the wire.

    Attributes:
        path: as there.
        classes: the bundle's, in their order.
        images: as there.
        labels: the label file, which was sent; its name's suffix says its format.
    """

    path: str
    classes: tuple[str, ...]
    images: str | None = None
    labels: SentFile | None = None


@dataclass(frozen=True)
class OnDevice:
    """A data set whose photographs lie on the device already.

    Attributes:
        path: what `--data` takes, there; or, with `labels`, the folder of the photographs.
        images: the folder of the photographs there, where `path` does not imply it.
        labels: a label file here, a .csv or a COCO .json, which is sent.
    """

    path: str
    images: str | None = None
    labels: Path | None = None


@dataclass(frozen=True)
class Photographs:
    """A folder of photographs here, without labels, which are sent."""

    folder: Path


Data = Dataset | Photographs | OnDevice


def given_place(name: str, file: SentFile) -> str:
    """Where a file lies that is the value of an option."""
    return f"given/{name}/{file.path}"


class Request(Record):
    """What the agent is asked for.

    Attributes:
        command: "verify", "check", "bench" or "selftest".
        source: the bundle's folder or the model file, below the place where `files` are laid out.
        files: what that consists of.
        called: what the user calls the places there, which messages and reports do too.
        data: the images.
        options: arguments of the command's function in `runtime`.
        given: those among them that are files, by their names.
    """

    command: str
    source: str
    files: tuple[SentFile, ...]
    called: dict[str, str]
    data: SentDataset | SentFolder | DeviceData | None = None
    options: dict[str, Any] = {}
    given: dict[str, SentFile] = {}


_BUNDLE = "bundle"  # its folder there
PHOTOGRAPHS = "photographs"  # theirs
_LABEL_SUFFIXES = (".csv", ".json")

Files = dict[str, Content]  # by SHA-256
Counted = Callable[[int, int], None]


def bundle_files(bundle: Bundle, entries: Sequence[FileEntry]) -> tuple[str, tuple[SentFile, ...], Files]:
    """Files of a bundle, its manifest with them, or of a model file alone, which comes first.

    Returns:
        what the command opens there; the files and their places; and their contents.
    """
    contents = {entry.sha256: Content(entry.bytes, partial(bundle.read, entry)) for entry in entries}
    places = {entry.path: entry.sha256 for entry in entries}
    if bundle.is_model_file:
        source = entries[0].path
    else:
        source = _BUNDLE
        contents[bundle.manifest_sha256] = _content(bundle.manifest_bytes)
        places = {f"{_BUNDLE}/{path}": sha256 for path, sha256 in places.items()}
        places[f"{_BUNDLE}/{MANIFEST}"] = bundle.manifest_sha256
    return source, tuple(SentFile(path=path, sha256=sha256) for path, sha256 in places.items()), contents


def data_files(
    data: Data | None, classes: tuple[str, ...], counted: Counted
) -> tuple[SentDataset | SentFolder | DeviceData | None, Files]:
    """Images as they travel, and the contents that they need.

    Args:
        data: opened here, or where it is on the device.
        classes: the bundle's.
        counted: called with (images hashed, N).

    Raises:
        DataError: the labels of `OnDevice` are not one file.
    """
    if data is None:
        return None, {}
    if isinstance(data, Dataset):
        return _dataset_files(data, counted)
    if isinstance(data, Photographs):
        return _folder_files(data.folder, counted)
    labels, files = (None, {}) if data.labels is None else _label_file(data.labels)
    return DeviceData(path=data.path, classes=classes, images=data.images, labels=labels), files


def _dataset_files(dataset: Dataset, counted: Counted) -> tuple[SentDataset, Files]:
    """Each image is read once to be hashed, and again if it is sent."""
    files: Files = {}
    hashes = []
    for number, image in enumerate(dataset.images, 1):
        read = partial(_npy, image) if isinstance(image, np.ndarray) else partial(_bytes, Path(str(image)))
        data = read()
        hashes.append("" if data is None else hashlib.sha256(data).hexdigest())
        if data is not None:
            files[hashes[-1]] = Content(len(data), read)
        counted(number, len(dataset))
    sent = SentDataset(
        name=dataset.name,
        classes=dataset.classes,
        ids=dataset.ids,
        labels=np.ascontiguousarray(dataset.labels).tobytes(),
        files=tuple(hashes),
        arrays=tuple(isinstance(image, np.ndarray) for image in dataset.images),
    )
    return sent, files


def _folder_files(folder: Path, counted: Counted) -> tuple[SentFolder, Files]:
    names, sent, files = image_names(folder), [], Files()
    for number, name in enumerate(names, 1):
        file, content = given_file(folder / name)
        sent.append(SentFile(path=name, sha256=file.sha256))
        files |= {file.sha256: Content(content[file.sha256].size, partial(_bytes, folder / name))}
        counted(number, len(names))
    return SentFolder(files=tuple(sent)), files


def given_file(path: Path) -> tuple[SentFile, Files]:
    """A file of the user's; raises DataError where it cannot be read."""
    data = _bytes(path)
    if data is None:
        raise DataError(f"{path}: no such file, or it cannot be read.")
    sha256 = hashlib.sha256(data).hexdigest()
    return SentFile(path=path.name, sha256=sha256), {sha256: _content(data)}


def _label_file(path: Path) -> tuple[SentFile, Files]:
    if path.suffix.lower() not in _LABEL_SUFFIXES:
        raise DataError(
            f"{path}: with --remote-data, --data is one label file here (.csv or a COCO .json). Of a data set that "
            "lies on the device as a whole, give its path there by --remote-data alone."
        )
    return given_file(path)


def received(sent: SentDataset, image_at: Callable[[str], Path]) -> Dataset:
    """The data set on the device; `image_at` says where the store keeps a hash."""
    images: Sequence = _Images(sent, image_at)
    labels = np.frombuffer(sent.labels, np.int8).reshape(len(sent.ids), len(sent.classes)).copy()
    return Dataset(sent.name, sent.classes, sent.ids, images, labels)


class _Images(Sequence):
    """Arrays are read when they are used: they need not all be in memory."""

    def __init__(self, sent: SentDataset, image_at: Callable[[str], Path]) -> None:
        self._sent, self._at = sent, image_at

    def __len__(self) -> int:
        return len(self._sent.files)

    def __getitem__(self, index: Any) -> Any:
        sha256 = self._sent.files[index]
        if not sha256:
            return Path(self._sent.ids[index])  # missing where it was sent from, too
        path = self._at(sha256)
        return np.load(path, allow_pickle=False) if self._sent.arrays[index] else path


def _content(data: bytes) -> Content:
    return Content(len(data), lambda: data)


def _npy(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, image, allow_pickle=False)
    return stream.getvalue()


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None
