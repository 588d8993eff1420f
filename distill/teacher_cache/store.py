"""The files of a cache: written and checked chunk by chunk, so that neither a kill nor a damaged byte costs much."""

import contextlib
import errno
import os
import shutil
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from rich.filesize import decimal

from ...runtime.device import usable_cores
from ...runtime.errors import EdgedistillError
from ...runtime.record import Record
from .layout import DTYPE, Layout


class Entry(Record):
    """A line of a journal: a chunk that was written whole.

    Attributes:
        chunk: its number.
        crc32: of its bytes in each field's file.
        undecodable: storage rows of images that could not be decoded; their outputs are zeros.
    """

    chunk: int
    crc32: dict[str, int]
    undecodable: tuple[int, ...] = ()


@dataclass
class Found:
    """The state of chunks on the disk, by number.

    Attributes:
        sound: as they were written.
        damaged: names of the fields whose bytes are not those that were written.
        missing: never written whole.
    """

    sound: dict[int, Entry] = field(default_factory=dict)
    damaged: dict[int, list[str]] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)

    @property
    def unusable(self) -> list[int]:
        """What must be built, in order."""
        return sorted([*self.damaged, *self.missing])

    def update(self, other: "Found") -> None:
        """Add the state of other chunks."""
        self.sound |= other.sound
        self.damaged |= other.damaged
        self.missing += other.missing


class Store:
    """A cache's folder.

    A chunk is written and then entered in the journal of the process that wrote it (`chunks-<rank>.jsonl`). It counts
    where one entry has the checksums of its bytes, so what a kill or a power failure leaves behind, in whatever order
    the system had brought it to the disk, is never taken for more than it is; waiting for the disk would add nothing.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder, self.layout = folder, layout

    def path(self, name: str) -> Path:
        """A field's file."""
        return self.folder / f"{name}.f16"

    def allocate(self) -> None:
        """Claim the disk space of all files now, not after hours; what they hold stays.

        Raises:
            EdgedistillError: there is too little space; the files are as before.
        """
        before: dict[Path, int] = {}
        with told(self.folder):
            sizes = {self.path(name): self.layout.field_bytes(name) for name in self.layout.shapes}
            lacking = sum(max(0, size - _size(path)) for path, size in sizes.items())
            free = shutil.disk_usage(self.folder).free
            if lacking > free:
                raise OSError(errno.ENOSPC, f"needs {decimal(lacking)} more, {decimal(free)} are free")
            try:
                for path, size in sizes.items():
                    before[path] = _size(path)
                    _extend(path, size)
            except OSError:
                for path, size in before.items():
                    with contextlib.suppress(OSError):
                        os.truncate(path, size)
                raise

    def write(self, number: int, values: dict[str, np.ndarray], undecodable: Iterable[int], rank: int) -> None:
        """Store a chunk's rows of every field, then enter it in the journal of process `rank`.

        Raises:
            EdgedistillError: the disk does not take it.
        """
        chunk, checksums = self.layout.chunks[number], {}
        with told(self.folder):
            for name, rows in values.items():
                data = np.ascontiguousarray(rows, DTYPE)
                with self.path(name).open("r+b") as stream:
                    stream.seek(self.layout.rows(name, chunk).start * self.layout.row_bytes(name))
                    stream.write(data)
                checksums[name] = zlib.crc32(data)
            entry = Entry(chunk=number, crc32=checksums, undecodable=tuple(undecodable))
            _append(self.folder / f"chunks-{rank}.jsonl", msgspec.json.encode(entry))

    def check(self, numbers: Sequence[int], tell: Callable[[int], None] = lambda done: None) -> Found:
        """Read the chunks and compare them with the journals, in threads (reading and checksums run side by side).

        Args:
            numbers: of chunks.
            tell: called with the images checked so far.
        """
        entries = self._entries()
        with ThreadPoolExecutor(min(8, usable_cores())) as pool:
            found, done = Found(), 0
            for number, entry, wrong in pool.map(lambda number: self._check(number, entries[number]), numbers):
                if entry is not None:
                    found.sound[number] = entry
                elif wrong:
                    found.damaged[number] = wrong
                else:
                    found.missing.append(number)
                tell(done := done + len(self.layout.chunks[number]))
        return found

    def open(self, name: str) -> np.ndarray:
        """A field, memory-mapped: float16 (V, N or P, ...)."""
        shape = (self.layout.views, self.layout.rows_of_view(name), *self.layout.shapes[name])
        if 0 in shape:
            return np.zeros(shape, DTYPE)
        return np.asarray(np.memmap(self.path(name), DTYPE, mode="r", shape=shape))

    def _entries(self) -> dict[int, list[Entry]]:
        """All that the journals say of a chunk; a line torn by a kill says nothing."""
        found: dict[int, list[Entry]] = defaultdict(list)
        for path in sorted(self.folder.glob("chunks-*.jsonl")):
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(msgspec.DecodeError):
                    entry = msgspec.json.decode(line, type=Entry)
                    if entry.crc32.keys() == self.layout.shapes.keys():
                        found[entry.chunk].append(entry)
        return found

    def _check(self, number: int, entries: list[Entry]) -> tuple[int, Entry | None, list[str]]:
        """A chunk's number, the entry that its bytes agree with, and else the fields that no entry agrees with."""
        if not entries:
            return number, None, []
        actual = {name: self._checksum(name, number) for name in self.layout.shapes}
        for entry in entries:
            if entry.crc32 == actual:
                return number, entry, []
        wrong = [name for name, value in actual.items() if all(entry.crc32[name] != value for entry in entries)]
        return number, None, wrong or list(actual)

    def _checksum(self, name: str, number: int) -> int | None:
        """CRC-32 of a chunk's bytes; None where they cannot be read.

        Read, not mapped: a failing disk is then an error of this call, and not the end of the process.
        """
        rows, row_bytes = self.layout.rows(name, self.layout.chunks[number]), self.layout.row_bytes(name)
        size = (rows.stop - rows.start) * row_bytes
        try:
            with self.path(name).open("rb", buffering=0) as stream:
                stream.seek(rows.start * row_bytes)
                data = stream.read(size)
        except OSError:
            return None
        return zlib.crc32(data) if len(data) == size else None


@contextlib.contextmanager
def told(folder: Path) -> Iterator[None]:
    """Say in one line what the system refuses."""
    try:
        yield
    except OSError as error:
        raise EdgedistillError(
            f"teacher cache: {folder} cannot be written ({error.strerror or error}). Free space, give another folder "
            "or set `teacher.cache: false`; what is finished there stays and the same command continues."
        ) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _extend(path: Path, size: int) -> None:
    """Let a file have at least `size` bytes, on the disk and not only by name where the system can."""
    with path.open("ab") as stream:
        start = stream.tell()
        if start >= size:
            return
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(stream.fileno(), start, size - start)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
        os.truncate(path, size)


def _append(path: Path, line: bytes) -> None:
    """Add a line, apart from one that a kill tore."""
    with path.open("ab+") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            line = line if stream.read() == b"\n" else b"\n" + line
        stream.write(line + b"\n")
