"""Thresholds and a temperature for each artifact, estimated on validation images through the very files that ship."""

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ..runtime.batches import decode_batches
from ..runtime.bundle import Artifact, Bundle, Manifest, OperatingPoint
from ..runtime.datasets.base import NEGATIVE, POSITIVE, Dataset
from ..runtime.errors import DataError
from ..runtime.metrics import ThresholdRule, at_temperature, expected_calibration_error, fit_temperature, sigmoid
from ..runtime.precisions import precision_of
from .observing import write_observed
from .running_apart import run_each

IMAGES = 2000
_BATCH = 32
_log = logging.getLogger("edgedistill")


def choose_validation(data: Dataset, images: int = IMAGES, *, seed: int = 0) -> Dataset:
    """At most `images` of the validation images, drawn without regard to their labels.

    A sample that is balanced over the classes, as calibration takes, would show each class more often than it is, and
    probabilities and precision depend on how often that is.

    Args:
        data: images with labels, which trained nothing and judge nothing.
        images: how many.
        seed: of the draw.

    Raises:
        DataError: no label is present, or none is known to be absent.
    """
    if len(data) > images:
        data = data.subset(np.sort(np.random.default_rng([seed, 0x0B]).choice(len(data), images, replace=False)))
    _require_labels(data)
    return data


def with_operating_points(
    bundle: Bundle,
    validation: Dataset,
    rule: ThresholdRule,
    say: Callable[[str], None] = lambda text: None,
) -> Manifest:
    """The bundle's manifest with an operating point of each artifact that ran, and thresholds for those that did not.

    What each said of the images is summed up beside it, for devices without labels: see `observing.write_observed`.

    The manifest's own thresholds become those of the first float artifact, for probabilities at temperature 1: what
    could not run here, and readers that know no operating point, report the same labels.

    Args:
        bundle: its files are in place; its manifest holds the artifacts.
        validation: labelled images; one that cannot be decoded is left out, and told.
        rule: how thresholds are chosen.
        say: told how far it is.

    Returns:
        The manifest; an artifact that gives no numbers for these images has failed, and has no file.

    Raises:
        DataError: the classes differ, or no image with a label can be decoded.
    """
    manifest = bundle.manifest
    able = [artifact for artifact in manifest.artifacts if artifact.status == "verified"]
    if not able:
        return manifest
    data = validation.with_classes(manifest.classes)
    with tempfile.TemporaryDirectory(prefix="edgedistill-") as folder:
        pixels, kept = _decode(data, manifest, Path(folder), say)
        _require_labels(kept)
        found, failures = run_each(bundle, able, pixels, say)
    points = {
        name: msgspec.structs.replace(estimate(ran.logits, kept, rule), fingerprint=data.fingerprint())
        for name, ran in found.items()
    }
    artifacts = [
        msgspec.structs.replace(
            artifact,
            operating_point=points[artifact.name],
            observed=write_observed(artifact.name, found[artifact.name], points[artifact.name], bundle.root),
        )
        if artifact.name in points
        else _failed(artifact, f"on {data.name}: {failures[artifact.name]}")
        if artifact.name in failures
        else artifact
        for artifact in manifest.artifacts
    ]
    thresholds = _shared_thresholds(artifacts) or manifest.thresholds
    return msgspec.structs.replace(manifest, artifacts=tuple(artifacts), thresholds=thresholds)


def _decode(data: Dataset, manifest: Manifest, folder: Path, say: Callable[[str], None]) -> tuple[Path, Dataset]:
    """A .npy of the images as the graph's backend takes them, uint8 (N, H, W, 3), and those that could be decoded."""
    batches = decode_batches(data.images, manifest.preprocessing, _BATCH, ids=data.ids, max_bad_share=1.0)
    height, width = manifest.preprocessing.size
    pixels = np.empty((len(data), height, width, 3), np.uint8)
    kept: list[int] = []
    for batch in batches:
        pixels[len(kept) : len(kept) + len(batch.indices)] = batch.images
        kept.extend(batch.indices)
        say(f"{kept[-1] + 1:,} of {len(data):,}")
    if batches.skipped:
        first = batches.skipped[0]
        _log.warning(
            "%s: %d of its %d images cannot be decoded (%s: %s): thresholds are estimated without them.",
            *(data.name, len(batches.skipped), len(data), first.id, first.reason),
        )
    path = folder / "images.npy"
    np.save(path, pixels[: len(kept)])
    return path, data.subset(kept) if batches.skipped else data


def estimate(logits: np.ndarray, data: Dataset, rule: ThresholdRule) -> OperatingPoint:
    """The operating point of finite logits float32 (N, C) on N labelled images."""
    temperature = fit_temperature(logits, data.labels)
    before, after = sigmoid(logits), at_temperature(logits, temperature)
    thresholds = rule.choose(after, data.labels)
    missed = rule.missed(after, data.labels, thresholds)
    absent = ~(data.labels == POSITIVE).any(axis=0)
    return OperatingPoint(
        thresholds=tuple(map(float, thresholds)),
        temperature=temperature,
        rule=str(rule),
        ece_before=100 * expected_calibration_error(before, data.labels),
        ece_after=100 * expected_calibration_error(after, data.labels),
        dataset=data.name,
        fingerprint=data.fingerprint(),
        images=len(data),
        without_positives=_named(data.classes, absent),
        missed=_named(data.classes, missed),
    )


def at_temperature_one(point: OperatingPoint) -> tuple[float, ...]:
    """The thresholds (C,) of sigmoid(logit) that report the same labels: sigmoid(temperature x logit(threshold))."""
    thresholds = np.asarray(point.thresholds)
    with np.errstate(divide="ignore"):  # a threshold of 0 or 1 stays one
        logits = np.log(thresholds) - np.log1p(-thresholds)
    return tuple(map(float, sigmoid(point.temperature * logits)))


def _shared_thresholds(artifacts: Sequence[Artifact]) -> tuple[float, ...] | None:
    """Of the first float artifact, else of the first that ran; None where none did."""
    ran = sorted(
        (artifact for artifact in artifacts if artifact.operating_point is not None),
        key=lambda artifact: precision_of(artifact.precision).quantised,
    )
    return None if not ran or ran[0].operating_point is None else at_temperature_one(ran[0].operating_point)


def _failed(artifact: Artifact, reason: str) -> Artifact:
    return msgspec.structs.replace(artifact, status="failed", reason=reason, files=())


def _require_labels(data: Dataset) -> None:
    if not ((data.labels == POSITIVE).any() and (data.labels == NEGATIVE).any()):
        raise DataError(
            f"{data.name}: thresholds and a temperature need labels: some present and some absent among its "
            f"{len(data)} images."
        )


def _named(classes: Sequence[str], chosen: np.ndarray) -> tuple[str, ...]:
    return tuple(name for name, one in zip(classes, chosen, strict=True) if one)
