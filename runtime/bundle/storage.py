"""Where a bundle's bytes come from: a folder, or a .zip that is never unpacked. What is hashed is what is given out."""

import hashlib
import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol

from ..errors import BundleError
from .manifest import LARGEST_MANIFEST
from .records import MANIFEST, FileEntry

_COPY_AGAIN = "Copy the whole bundle again."
# Not every system has every flag.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_MOST_SHRUNK, _SMALL = 200, 64 << 20  # weights shrink to a half at best, zeros to a thousandth
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class AbsentFileError(BundleError):
    """There is no such file in the bundle."""


class Storage(Protocol):
    """Gives bytes by their path in the bundle.

    Attributes:
        place: the folder or the .zip.
    """

    @property
    def place(self) -> Path: ...

    def label(self, path: str) -> str:
        """For messages: where the file is."""
        ...

    def read(self, path: str, most: int) -> bytes:
        """At most `most` + 1 bytes of a file; raises AbsentFileError, or BundleError when it cannot be read."""
        ...


def read_listed(storage: Storage, entry: FileEntry) -> bytes:
    """A file's content, exactly as the manifest lists it.

    Raises:
        BundleError: the file is missing, truncated, altered, or larger than the memory; none of it is used then.
    """
    where = storage.label(entry.path)
    try:
        data = storage.read(entry.path, entry.bytes)
    except MemoryError:
        raise BundleError(f"{where}: its {entry.bytes:,} bytes are more than this machine's memory holds.") from None
    if len(data) > entry.bytes:
        raise BundleError(f"{where}: has more than the {entry.bytes} bytes that the manifest says: altered.")
    if len(data) < entry.bytes:
        raise BundleError(f"{where}: has {len(data)} bytes, the manifest says {entry.bytes}: truncated? {_COPY_AGAIN}")
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise BundleError(f"{where}: its SHA-256 differs from the manifest: altered after export, not loaded.")
    return data


class FolderStorage:
    """A bundle's folder. Links are not followed: they may lead out of it."""

    def __init__(self, root: Path) -> None:
        self.place = root

    def label(self, path: str) -> str:
        return str(self.place / path)

    def read(self, path: str, most: int) -> bytes:
        file = self.place
        try:
            for part in PurePosixPath(path).parts:
                file /= part
                mode = file.lstat().st_mode
                if stat.S_ISLNK(mode):
                    raise BundleError(f"{file}: is a link, which may lead out of the bundle: not followed.")
            if not stat.S_ISREG(mode):
                raise BundleError(f"{file}: is not a regular file. {_COPY_AGAIN}")
            # Opened without following and without waiting, in case it was exchanged a moment ago.
            with os.fdopen(os.open(file, _FLAGS), "rb") as stream:
                # Not more than is there: what a manifest claims may be more than the memory.
                return stream.read(min(most, os.fstat(stream.fileno()).st_size) + 1)
        except FileNotFoundError:
            raise AbsentFileError(f"{file}: listed in the manifest but missing. {_COPY_AGAIN}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BundleError(f"{file}: cannot be read ({reason}).") from error


class ZipStorage:
    """A bundle in a .zip, at its root or in one folder. Entries are read into memory, never unpacked to a disk."""

    def __init__(self, archive: Path) -> None:
        self.place = archive
        with self._opened() as opened:
            names = [info.filename for info in opened.infolist()]
        folders = sorted({name.removesuffix(MANIFEST) for name in names if PurePosixPath(name).name == MANIFEST})
        highest = [folder for folder in folders if _depth(folder) == min(map(_depth, folders))]
        if not highest:
            raise BundleError(f"{archive}: not a bundle (no {MANIFEST}). `edgedistill export` makes one.")
        if len(highest) > 1:
            listed = ", ".join(folder.rstrip("/") for folder in highest)
            raise BundleError(f"{archive}: holds {len(highest)} bundles ({listed}): unpack it, and give one of them.")
        self._inside = highest[0]

    def label(self, path: str) -> str:
        return f"{self.place}: {path}"

    def name_of(self, path: str) -> str:
        """What the archive calls a file of the bundle."""
        return self._inside + path

    def read(self, path: str, most: int) -> bytes:
        name, where = self.name_of(path), self.label(path)
        with self._opened() as opened:
            found = [info for info in opened.infolist() if info.filename == name]
            if not found:
                raise AbsentFileError(f"{where}: listed in the manifest but missing. {_COPY_AGAIN}")
            if len(found) > 1:
                raise BundleError(f"{where}: is in the archive {len(found)} times: not loaded. {_COPY_AGAIN}")
            info = found[0]
            if info.flag_bits & 1:
                raise BundleError(f"{where}: is encrypted: unpack it with its password, and give the folder.")
            if info.compress_type not in _METHODS:
                raise BundleError(f"{where}: is packed by method {info.compress_type}: pack it stored or deflated.")
            if info.file_size > max(_SMALL, _MOST_SHRUNK * info.compress_size):
                raise BundleError(
                    f"{where}: would unpack from {info.compress_size:,} to {info.file_size:,} bytes: not loaded."
                )
            try:
                with opened.open(info) as stream:
                    return stream.read(most + 1)
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
                raise BundleError(f"{where}: is damaged in the archive ({error}). {_COPY_AGAIN}") from error

    def _opened(self) -> zipfile.ZipFile:
        try:
            if not self.place.is_file():
                missing = "no such file" if not self.place.exists() else "not a regular file"
                raise BundleError(f"{self.place}: {missing}.")
            return zipfile.ZipFile(self.place)
        except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
            raise BundleError(f"{self.place}: not a readable .zip ({error}). {_COPY_AGAIN}") from error


def _depth(folder: str) -> int:
    return folder.count("/")


def read_manifest(storage: Storage) -> bytes:
    """manifest.json's bytes, within bounds."""
    data = storage.read(MANIFEST, LARGEST_MANIFEST)
    if len(data) > LARGEST_MANIFEST:
        raise BundleError(f"{storage.label(MANIFEST)}: is larger than {LARGEST_MANIFEST >> 20} MB: no manifest.")
    return data
