"""What is said of each image, as plain data, and what decides it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edgedistill import __version__
from edgedistill.runtime.image_files import ImageFile

from .streams import printable

if TYPE_CHECKING:
    from edgedistill.runtime import Prediction, Predictor
    from edgedistill.runtime.batches import SkippedImage

_BEST = 3  # classes that are told where none reaches its threshold


def facts_of(predictor: "Predictor", images: list[str], top: int | None, *, scores: bool) -> dict[str, Any]:
    """What decides the rows of a file."""
    manifest, artifact = predictor.manifest, predictor.artifact
    return {
        "edgedistill": __version__,
        "bundle": manifest.name,
        "artifact": artifact.name,
        "files": {entry.path: entry.sha256 for entry in artifact.files},
        "classes": list(manifest.classes),
        "thresholds": list(manifest.thresholds_of(artifact)),
        "decode": predictor.decode,
        "backend": {key: predictor.effective.get(key, "") for key in ("library", "precision")},
        "images": [printable(text) for text in images],
        "top": top,
        "scores": scores,
    }


def rows_of(
    predictor: "Predictor",
    photos: Iterator[ImageFile],
    batch_size: int | None,
    top: int | None,
    *,
    scores: bool = False,
) -> Iterator[dict[str, Any]]:
    """One per photo, in order: {"image", "labels"} or {"image", "error"}."""
    from edgedistill.runtime.predictor.given import as_source

    for found in predictor.predict_stream(map(as_source, photos), batch_size=batch_size, bad="yield"):
        yield _row(found, top, scores=scores)


def _row(found: "Prediction | SkippedImage", top: int | None, *, scores: bool) -> dict[str, Any]:
    from edgedistill.runtime.batches import SkippedImage

    if isinstance(found, SkippedImage):
        return {"image": printable(found.id), "error": found.sentence}
    labels = found.top(top) if top else found.labels
    row: dict[str, Any] = {"image": printable(found.source), "labels": labels}
    if not labels:
        row["top"] = found.top(_BEST)
    return row | {"scores": found.probabilities.tolist()} if scores else row
