"""Writing a bundle's parts: a file's entry, and the whole as one .zip."""

import zipfile
from pathlib import Path

from ..files import sha256_of
from .opened import Bundle
from .records import MANIFEST, SIGNATURE, FileEntry
from .signature import signature_bytes


def describe_file(path: Path, root: Path) -> FileEntry:
    """The manifest entry of a file below `root`."""
    return FileEntry(path=path.relative_to(root).as_posix(), sha256=sha256_of(path), bytes=path.stat().st_size)


def zip_bundle(bundle: Bundle, out: Path) -> Path:
    """Pack a bundle into one .zip: its manifest with its signature and what it lists, each checked.

    Stored: weights do not compress.
    """
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(MANIFEST, bundle.manifest_bytes)
        if (signature := signature_bytes(bundle.storage)) is not None:
            archive.writestr(SIGNATURE, signature)
        for path, entry in sorted({entry.path: entry for entry in bundle.manifest.files()}.items()):
            archive.writestr(path, bundle.read(entry))
    return out
