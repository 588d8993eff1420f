"""What the artifact of a field check is compared with: another artifact here, or scores from elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..bundle.naming import named_artifact
from ..bundle.opened import Bundle
from ..datasets.score_file import SUFFIXES
from ..errors import ConfigError, DataError
from .agreement import compare
from .report import Agreement
from .scored import Photographs, Scored


class Reference(NamedTuple):
    """What the artifact is compared with, NaN where it says nothing, and in words what it is."""

    scored: Scored
    source: str


def artifact_or_file(bundle: Bundle, against: str | Path | None) -> str | Path | None:
    """The name of an artifact, or the path of a scores file."""
    if against is None:
        return None
    if Path(against).suffix.lower() in SUFFIXES:
        return Path(against)
    return named_artifact(bundle, str(against)).name


def require_another(bundle: Bundle, checked: str, reference: str) -> None:
    """Raise ConfigError where an artifact would be compared with itself."""
    if checked == reference:
        others = ", ".join(one.name for one in bundle.manifest.artifacts if one.files and one.name != checked)
        raise ConfigError(
            f"against: {reference} is the artifact that is checked: say which other one to check, by `artifact`, or "
            f"compare with another ({others or 'the bundle has none'})."
        )


def reference_of(named: str | Path | None, outside: Scored | None, photographs: Photographs) -> Reference | None:
    """What the photographs are held against; None where nothing was named.

    Args:
        named: see `artifact_or_file`.
        outside: what the file says, where a file was named.
        photographs: what this device says, of the named artifact as the second.

    Raises:
        DataError: the file has scores of none of the photographs that could be decoded.
    """
    if isinstance(named, str):
        return Reference(photographs.scored[1], f"{named} on this device")
    if named is None or outside is None:
        return None
    found = _rows(outside, photographs.places)
    missing = int(np.isnan(found.probabilities).any(axis=1).sum())
    if missing == len(photographs.ids):
        raise DataError(f"{named}: has scores of no photograph that can be decoded.")
    lacks = f", which lacks {missing:,} of the photographs" if missing else ""
    return Reference(found, f"the scores in {named.name}{lacks}")


def agreement_with(
    scored: Scored, reference: Reference | None, classes: Sequence[str], confidence: float
) -> Agreement | None:
    """Of the photographs of which the reference says something; None without one."""
    if reference is None:
        return None
    known = np.isfinite(reference.scored.probabilities).all(axis=1)
    return compare(_rows(scored, known), _rows(reference.scored, known), classes, reference.source, confidence)


def _rows(scored: Scored, rows: np.ndarray) -> Scored:
    return Scored(scored.logits[rows], scored.probabilities[rows], scored.thresholds)
