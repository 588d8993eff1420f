"""What `export` was given, checked in a second: importing torch takes ten, and comes after."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgedistill.runtime.errors import ConfigError, DataError

from .checkpoints import checkpoint_classes
from .extras import register_training_formats
from .photos import check_photo

if TYPE_CHECKING:
    from edgedistill.runtime import Dataset
    from edgedistill.runtime.targets import Target


class ExportRequest(NamedTuple):
    """What is to be exported.

    Attributes:
        targets: checked deploy configs.
        golden: images that travel as proof.
        data: the labelled images, if any.
    """

    targets: list["Target"]
    golden: list[Path]
    data: "Dataset | None"


def check_export(
    student: Path,
    targets: Sequence[str],
    out: Path,
    *,
    data: str | None,
    images: Path | None,
    selftest: Sequence[Path],
    zip: bool = False,
) -> ExportRequest:
    """Check everything that can be checked without the network.

    Raises:
        ConfigError: a target is unknown or impossible, or the options do not go together.
        CheckpointError: the student is missing, or no checkpoint of ours.
        DataError: an image cannot be read, or the data set is faulty or has other classes.
        ExportError: at `out` stands something that is not ours to replace.
    """
    from edgedistill.export.requested import resolve_targets
    from edgedistill.export.staging import refuse_foreign
    from edgedistill.runtime.datasets import open_dataset
    from edgedistill.runtime.preprocess import open_image

    if images is not None and data is None:
        raise ConfigError(f"--images {images}: is the image folder of --data; give that too.")
    resolved = resolve_targets(targets)
    refuse_foreign(out, zip=zip)
    classes = checkpoint_classes(student)
    for path in selftest:
        problem = check_photo(path).problem
        if problem:
            raise DataError(problem)
        open_image(path)
    if data is None:
        return ExportRequest(resolved, list(selftest), None)
    register_training_formats()
    return ExportRequest(resolved, list(selftest), open_dataset(data, images=images, classes=classes))
