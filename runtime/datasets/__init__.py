"""Torch-free readers: every format gives the same `Dataset`, in training and on the device."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import decode_tagged, read_yaml
from ..errors import DataError
from .base import FORMATS, NEGATIVE, POSITIVE, UNKNOWN, Dataset, DatasetFormat
from .reading import resolve

__all__ = ["FORMATS", "NEGATIVE", "POSITIVE", "UNKNOWN", "Dataset", "DatasetFormat", "open_dataset"]

_YAML = (".yaml", ".yml")


def open_dataset(
    spec: Mapping[str, Any] | str | Path,
    base: Path = Path(),
    images: str | Path | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Read a data set from what a recipe or the command line says.

    Args:
        spec: `{"format": name, **options}`; or the path of a YAML file that holds such a mapping; or a path that a
            format recognises (a .csv, a COCO .json, a VOC or NUS-WIDE folder, with that format's default options); or
            the bare name of a format that needs no option.
        base: folder that relative paths start from; for a YAML file, the paths inside it start from its own folder.
        images: image folder, in place of the one that `spec` names or implies.
        classes: the classes to expect, in their order: the result has exactly these, and a format that could only
            guess its classes from the labels it sees (csv) is told them.

    Raises:
        ConfigError: an option is unknown, missing or of a wrong type.
        DataError: the path does not exist or is in no known format, the data set itself is faulty, or its classes are
            not the expected ones.
    """
    base = Path(base).absolute()
    folder = None if images is None else str(resolve(base, str(images)))
    where = "the data set"
    if not isinstance(spec, Mapping):
        path = resolve(base, str(spec))
        if not os.path.lexists(path) and str(spec) in FORMATS.names():
            spec = {"format": str(spec)}
        elif path.suffix.lower() in _YAML and os.path.lexists(path):
            where, base, spec = str(path), path.parent, read_yaml(path)
        else:
            where, spec = str(path), _recognise(path)
    if folder is not None:
        spec = {**spec, "images": folder}
    if classes is not None and spec.get("format") in FORMATS.names():
        takes_classes = "classes" in FORMATS.get(spec["format"]).__struct_fields__
        spec = {"classes": list(classes), **spec} if takes_classes else spec
    dataset = decode_tagged(dict(spec), FORMATS, tag="format", where=where, prefix="data").read(base)
    return dataset if classes is None else dataset.with_classes(classes)


def _recognise(path: Path) -> dict[str, Any]:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such file or folder.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL or half a surrogate pair in the name
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    accepted = [f"a .yaml file with `format: {' | '.join(FORMATS.names())}` and its options"]
    for name in FORMATS.names():
        options = FORMATS.get(name).recognise(path)
        if options is not None:
            return {"format": name, **options}
        if FORMATS.get(name).accepts:
            accepted.insert(-1, FORMATS.get(name).accepts)
    raise DataError(f"{path}: is not a data set that can be recognised. Give {'; '.join(accepted)}.")
