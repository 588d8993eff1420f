"""What `export_bundle` is given, checked and as its steps take it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..runtime.datasets.base import Dataset
from ..runtime.errors import ConfigError
from .judged_apart import Apart
from .opset import check_opset
from .quantization.calibration import Calibration
from .requested import check_outputs
from .sources import Source

if TYPE_CHECKING:
    from ..distill.checkpoint import Student

ReferenceLogits: TypeAlias = tuple[Dataset, np.ndarray]


def check_given(outputs: Sequence[str], opset: int | None, **data_sets: object) -> None:
    """Raise ConfigError for an impossible output or operator set, or for what is no data set of ours."""
    check_outputs(outputs)
    check_opset(opset)
    for key, data in data_sets.items():
        if not isinstance(data, Dataset | Calibration | Apart | None):
            raise ConfigError(
                f"`{key}` is a {type(data).__name__}: a data set of ours is wanted, which `distill.as_dataset(data, "
                f"name={key!r})` makes of a torch one."
            )


def require_validation(thresholds: object, apart: Apart) -> None:
    """Raise ConfigError where a rule for thresholds is given, and no image to estimate them on."""
    if thresholds is not None and apart.validation is None:
        raise ConfigError(
            f"`thresholds` {thresholds}: they are estimated on `validation` images, and none are given. Leave it out: "
            "the network's own thresholds hold then."
        )


def as_source(network: "Source | Student | str | Path") -> Source:
    """The network to export; a student's checkpoint is loaded.

    Raises:
        ConfigError: it is something else.
        CheckpointError: the checkpoint cannot be used.
    """
    if isinstance(network, Source):
        return network
    from ..distill.checkpoint import Student, load_student
    from .sources.pytorch import from_student

    found = load_student(network) if isinstance(network, str | Path) else network
    if not isinstance(found, Student):
        raise ConfigError(
            f"export takes a Student, as `distil` and `load_student` return it, or the path of its file, and this is a "
            f"{type(found).__name__}: `export.from_module(network, classes=..., preprocessing=...)` makes it one."
        )
    return from_student(found)


def as_pairs(reference: ReferenceLogits | Sequence[ReferenceLogits]) -> Sequence[ReferenceLogits]:
    """Splits with their logits, of one alone too."""
    if isinstance(reference, tuple) and len(reference) == 2 and isinstance(reference[0], Dataset):
        return [reference]
    return reference
