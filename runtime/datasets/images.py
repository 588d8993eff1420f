"""Where the images that an index lists lie: paths kept inside the image folder, and what is missing there."""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import DataError
from ..images import image_suffixes

_NAMED = 3  # missing images that a message names
_log = logging.getLogger("edgedistill")


def image_path(folder: Path, listed: str, where: str) -> tuple[str, Path]:
    r"""The id and the file of an image that an index lists.

    Args:
        folder: the image folder.
        listed: a path relative to `folder`, or an absolute one inside it; `\` separates folders like `/`, so that a
            list that was written on Windows gives the same ids everywhere.
        where: the place that a message names.

    Returns:
        the path relative to `folder` with forward slashes, and the path to open.

    Raises:
        DataError: the path is empty, holds what no path can, or leads outside `folder`.
    """
    relative = listed.strip().replace("\\", "/")
    if not relative:
        raise DataError(f"{where}: the image path is empty.")
    if "\0" in relative or not _is_unicode(relative):
        raise DataError(f"{where}: {listed[:80]!r} cannot be a path.")
    relative = os.path.normpath(relative)
    if os.path.isabs(relative):  # noqa: PTH117 (a Path per image is slow for long lists)
        root = os.path.abspath(folder)  # noqa: PTH100 (Path.absolute keeps "..", Path.resolve follows links)
        relative = os.path.relpath(relative, root)
    if relative == ".." or relative.startswith(".." + os.sep):
        raise DataError(
            f"{where}: the image {listed!r} lies outside the image folder {folder}; set `images` to a folder that "
            "holds all images."
        )
    return relative.replace(os.sep, "/"), folder / relative


def images_by_stem(folder: Path, stems: Sequence[str]) -> list[Path]:
    """The image of each stem, e.g. `000001`, with whichever usual suffix it has; a .jpg where there is none.

    Each folder is listed once, however many images it holds.
    """
    listings: dict[str, dict[str, str]] = {}
    found = []
    for stem in stems:
        below, _, name = stem.rpartition("/")
        if below not in listings:
            listings[below] = _suffixes(folder / below)
        found.append(folder / f"{stem}{listings[below].get(name, '.jpg')}")
    return found


def require_images(images: Sequence[Path], where: str, way_out: str) -> None:
    """Refuse a wrong image folder or list at once, and say how many images are missing where it is only some.

    Those come to light one by one when they are decoded, where `max_bad_share` says how many are tolerated.

    Args:
        images: every image that `where` lists.
        where: the index, for messages.
        way_out: what to do when images are missing, a sentence.

    Raises:
        DataError: `images` is empty, or more than half of them do not exist.
    """
    if not images:
        raise DataError(f"{where}: lists no image.")
    missing = _missing(images)
    if not missing:
        return
    named = ", ".join(map(str, missing[:_NAMED])) + (", ..." if len(missing) > _NAMED else "")
    count = f"{len(missing)} of its {len(images)} images {'is' if len(missing) == 1 else 'are'} missing"
    if len(missing) == len(images):
        count = "its only image does not exist" if len(images) == 1 else f"none of its {len(images)} images exists"
    if len(missing) > len(images) / 2:
        raise DataError(f"{where}: {count} ({named}). {way_out}")
    _log.warning("%s: %s (%s) and will be skipped, within `max_bad_share`. %s", where, count, named, way_out)


def _missing(images: Iterable[Path]) -> list[Path]:
    """The images that do not exist; a folder is listed once instead of asking for each file, which is slow remotely."""
    listings: dict[str, set[str] | None] = {}
    missing = []
    for image in images:
        folder, name = os.path.split(image)
        if folder not in listings:
            listings[folder] = _names(folder)
        names = listings[folder]
        # Asked for once more: a file system may take names for equal that differ in case or in how accents are encoded.
        if names is None or (name not in names and not os.path.isfile(image)):  # noqa: PTH113 (is_file may raise)
            missing.append(image)
    return missing


def _names(folder: str | Path) -> set[str] | None:
    """What `folder` holds, as far as one may list it; None where there is no such folder."""
    try:
        return set(os.listdir(folder))  # noqa: PTH208 (a Path per image is slow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return set()


def _suffixes(folder: Path) -> dict[str, str]:
    """The suffix of each image in `folder`, by its stem."""
    pairs = [os.path.splitext(name) for name in _names(folder) or ()]  # noqa: PTH122 (a Path per image is slow)
    suffixes = image_suffixes()  # of two that fit, the first is taken
    images = [(stem, suffix) for stem, suffix in pairs if suffix.lower() in suffixes]
    images.sort(key=lambda image: (-suffixes.index(image[1].lower()), image[1]))
    return dict(images)  # of several with one stem, the last


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
