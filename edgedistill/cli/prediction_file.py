"""Predictions in a file: whole or not there, and what is finished of it outlasts an interruption.

out.csv.partial       one JSON object per line while the command runs; the same command goes on behind it
out.csv               what is made of that at the end
out.csv.about.json    which model said so, and how
out.csv.skipped.csv   images that could not be read, where a table has no room for them
"""

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import msgspec

from edgedistill.runtime.errors import ConfigError, EdgedistillError
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.image_files import ImageFile

from .prediction_tables import WRITERS
from .streams import printable

_FLUSH_EVERY = 64  # rows that a killed process may have to compute again


class PredictionFile:
    """Use it in a `with` block; `finish` makes the file.

    Args:
        path: of the file; its suffix says the format.
        facts: what decides the rows. Rows that other facts decided are never continued.
        overwrite: begin anew, whatever is there.

    Attributes:
        complete: the file is there already, of the same facts.
        rows: how many there are.
        skipped: how many of them are images that could not be read.

    Raises:
        ConfigError: the suffix is of no known format; the file is there and of other facts; another process writes it.
        MissingDependencyError: the format needs a library that is not installed.
    """

    def __init__(self, path: Path, facts: dict[str, Any], *, overwrite: bool = False) -> None:
        if path.suffix.lower() not in WRITERS:
            raise ConfigError(f"--output {path}: give a name that ends with {', '.join(WRITERS)}.")
        self._write = WRITERS[path.suffix.lower()]()
        self.path, self._facts = path, facts
        self.partial, self._about = (path.with_name(path.name + suffix) for suffix in (".partial", ".about.json"))
        self.rows = self.skipped = 0
        self.complete = False
        self._names, self._names_then = hashlib.sha256(), ""
        if not overwrite and (path.exists() or self.partial.exists()):
            self._check_facts()
        self._stream: IO[bytes] = io.BytesIO()
        if self.complete:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self.partial.open("r+b" if self.partial.exists() else "w+b")
        try:
            self._lock()
            if overwrite:  # only now: it may be another process's
                self._stream.truncate(0)
            self._save(complete=False)
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> "PredictionFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # a full disk was told of already
            self._stream.close()

    def after(self, photos: Iterator[ImageFile]) -> Iterator[ImageFile]:
        """The photos that have no row yet; those that have one must be the first, in the same order.

        Raises:
            ConfigError: they are others.
        """
        end = 0
        for line in self._stream:
            row = _row(line)
            if row is None:
                break  # it was killed while it wrote, or the power was cut: what follows is computed again
            photo = next(photos, None)
            if photo is None or row["image"] != printable(str(photo.path)):
                now = "there are no more" if photo is None else f"{photo.path} comes there now"
                raise ConfigError(
                    f"{self.path}: an interrupted run got to {row['image']} as its image {self.rows + 1}, but {now}: "
                    "give the same images, another --output, or --overwrite."
                )
            self._count(row)
            end += len(line)
        self._stream.seek(end)
        self._stream.truncate()
        return photos

    def require_same(self, photos: Iterator[ImageFile]) -> None:
        """Where the file is there already: that it is of these photos.

        Raises:
            ConfigError: some were added, removed or renamed since.
        """
        names, count = hashlib.sha256(), 0
        for count, photo in enumerate(photos, 1):  # noqa: B007 (the last number is how many there are)
            names.update(_line(printable(str(photo.path))))
        if self._names_then and names.hexdigest() != self._names_then:
            raise ConfigError(
                f"{self.path}: is of other images: {self.rows:,} then, {count:,} now, in their names or order: give "
                "another --output, or --overwrite."
            )

    def write(self, row: dict[str, Any]) -> None:
        """Add one: {"image", "labels", ...} or {"image", "error"}.

        Raises:
            EdgedistillError: the disk is full; what was written is kept.
        """
        self._count(row)
        with self._told():
            self._stream.write(msgspec.json.encode(row) + b"\n")
            if self.rows % _FLUSH_EVERY == 0:
                self._stream.flush()

    def finish(self) -> None:
        """Make the file of the rows, and remove what it was made of.

        Raises:
            EdgedistillError: the disk is full; the rows are kept, and the same command makes the file.
        """
        with self._told():
            self._stream.flush()
            self._write(self.partial, self.path, self._facts)
            self._save(complete=True)
        self._stream.close()
        self.partial.unlink(missing_ok=True)

    def _count(self, row: dict[str, Any]) -> None:
        self.rows += 1
        self.skipped += "error" in row
        self._names.update(_line(row["image"]))

    def _check_facts(self) -> None:
        try:
            about = msgspec.json.decode(self._about.read_bytes())
            facts, rows, skipped = about["decided_by"], about["images"], about["skipped"]
        except (OSError, msgspec.DecodeError, KeyError, TypeError):
            raise ConfigError(
                f"{self.path}: is there already, and {self._about.name} does not say what made it: give another "
                "--output, or --overwrite."
            ) from None
        other = sorted(key for key in {*facts, *self._facts} if facts.get(key) != self._facts.get(key))
        if other:
            told = ", ".join(f"{key}{_change(facts.get(key), self._facts.get(key))}" for key in other)
            raise ConfigError(
                f"{self.path}: was made otherwise ({told}): give the same, another --output, or --overwrite."
            )
        if self.path.exists() and not self.partial.exists() and about.get("complete"):
            self.complete, self.rows, self.skipped = True, rows, skipped
            self._names_then = about.get("names", "")  # earlier versions did not record it

    def _save(self, *, complete: bool) -> None:
        about = {"decided_by": self._facts, "complete": complete, "images": self.rows, "skipped": self.skipped}
        if complete:
            about["names"] = self._names.hexdigest()
        write_atomic(self._about, msgspec.json.format(msgspec.json.encode(about)))

    def _lock(self) -> None:
        """Two processes must not write one file; the system frees the lock of one that is killed."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.path.samestat(os.fstat(self._stream.fileno()), self.partial.stat())
        except BlockingIOError:
            raise ConfigError(f"{self.path}: another process is writing it: wait, or give another --output.") from None
        except FileNotFoundError:
            same = False
        except OSError:  # a file system without locks
            return
        if not same:
            raise ConfigError(f"{self.path}: another process has finished it just now: give the command again.")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EdgedistillError(
                f"cannot write {self.partial}: {error.strerror or error}. What is in there is kept: free space, and "
                "the same command goes on."
            ) from error


def _row(line: bytes) -> dict[str, Any] | None:
    """A whole line's row; None of what is none, such as the zeros that a power cut leaves in a file."""
    try:
        row = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    return row if line.endswith(b"\n") and isinstance(row.get("image"), str) else None


def _line(name: str) -> bytes:
    return f"{name}\n".encode()


def _change(then: object, now: object) -> str:
    """Of words and numbers what they were and are; nobody compares hashes by eye."""
    if isinstance(then, list | dict) or isinstance(now, list | dict):
        return ""
    return f": {_word(then)}, now {_word(now)}"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
