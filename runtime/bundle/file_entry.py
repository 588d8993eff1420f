"""A file that a manifest vouches for."""

from ..record import Record


class FileEntry(Record):
    """A file of the bundle: `path` is relative to the bundle's root with forward slashes."""

    path: str
    sha256: str
    bytes: int
