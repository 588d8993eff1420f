"""The bundle's own photographs through an artifact: do they give the training framework's outputs here?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, features

from ..bundle.opened import Bundle
from ..bundle.records import Artifact, GoldenImage
from ..bundle.selection import NotRunnable
from ..device import overflows_bytes
from ..errors import DataError, InferenceError
from ..precisions import MARGIN, MEAN_MARGIN, precision_of
from ..predictor import Predictor
from ..preprocess import load
from .golden_report import ArtifactSelfTest, GoldenCheck
from .soundness import outputs_problem

_OVERFLOWS = (
    "This CPU (x86 without VNNI) adds products of bytes in 16 bits, where those of 8-bit weights overflow: export "
    "`-t onnxruntime-avx2-int8` or fp32 for it."
)


@dataclass(frozen=True)
class GoldenSet:
    """Photographs that travel in a bundle as proof, decoded here.

    Attributes:
        entries: G of them, as the manifest lists them.
        images: uint8 (G, H, W, 3).
        logits: float64 (G, C), the training framework's.
    """

    entries: tuple[GoldenImage, ...]
    images: np.ndarray
    logits: np.ndarray

    @classmethod
    def of(cls, bundle: Bundle) -> "GoldenSet | None":
        """A bundle's; None where it carries none.

        Raises:
            BundleError: a photograph is altered.
            DataError: one cannot be decoded here.
        """
        entries = bundle.manifest.selftest
        if not entries:
            return None
        images = np.stack([_decoded(bundle, entry) for entry in entries])
        return cls(entries, images, np.array([entry.logits for entry in entries], dtype=np.float64))

    def test(self, predictor: Predictor, tolerance: float | None = None) -> ArtifactSelfTest:
        """Run them and compare.

        Args:
            predictor: a loaded artifact.
            tolerance: allowed absolute difference of a logit, in place of what export measured.
        """
        return _test(predictor, self, tolerance)


def decoder() -> str:
    """What decodes images here."""
    turbo = features.version("libjpeg_turbo")
    return f"Pillow {Image.__version__}, " + (
        f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    )


def _decoded(bundle: Bundle, entry: GoldenImage) -> np.ndarray:
    try:
        return load(bundle.read(entry.file), bundle.manifest.preprocessing)
    except DataError as error:
        raise DataError(f"{bundle.label(entry.file)}: {str(error).removeprefix('the image: ')}") from error


def _test(predictor: Predictor, golden: "GoldenSet", tolerance: float | None) -> ArtifactSelfTest:
    images, expected = golden.images, golden.logits
    artifact = predictor.artifact
    try:
        logits, probabilities = predictor.infer(images)
    except InferenceError as error:
        return not_run(artifact, NotRunnable(error.reason, refused=True))
    allowed = _allowed(artifact, expected, tolerance)
    difference = np.abs(logits - expected)
    checks = tuple(
        GoldenCheck(
            file=entry.file.path,
            max_abs_logit=float(largest) if np.isfinite(largest) else None,
            passed=bool(largest <= allowed.largest),  # NaN is not
        )
        for entry, largest in zip(golden.entries, difference.max(axis=1), strict=True)
    )
    mean = float(difference.mean())
    problem = outputs_problem(logits, probabilities)
    near = allowed.mean is None or mean <= allowed.mean
    agrees = near and not problem and all(check.passed for check in checks)
    sentence = f"{problem}." if problem else _sentence(checks, allowed, mean)
    return ArtifactSelfTest(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        verdict="passed" if agrees else "failed",
        sentence=sentence if agrees or not _may_overflow(artifact) else f"{sentence} {_OVERFLOWS}",
        tolerance=allowed.largest,
        mean_abs_logit=mean if np.isfinite(mean) else None,
        mean_tolerance=allowed.mean,
        tolerance_from=allowed.source,
        images=checks,
        effective=dict(predictor.effective),
    )


class _Allowed(NamedTuple):
    """Tolerances, and in words where they come from."""

    largest: float
    mean: float | None
    source: str


def _allowed(artifact: Artifact, expected: np.ndarray, given: float | None) -> _Allowed:
    if given is not None:
        return _Allowed(given, None, "given by the caller")
    row, parity = precision_of(artifact.precision), artifact.parity
    if parity is None:
        share = f"{row.name}'s share of the logits' spread, since export could not run it"
        return _Allowed(row.shipped(expected, None), None, share)
    source = f"{MARGIN:g} times the largest and {MEAN_MARGIN:g} times the mean error that export measured"
    largest, mean = parity.max_abs_logit, parity.golden_mean_abs_logit
    return _Allowed(row.shipped(expected, largest), row.shipped_mean(expected, mean), source)


def _sentence(checks: Sequence[GoldenCheck], allowed: _Allowed, mean: float) -> str:
    failed = [check for check in checks if not check.passed]
    if not failed and allowed.mean is not None and not mean <= allowed.mean:
        return (
            f"the logits are {mean:.2g} off on average, more than {allowed.mean:.2g}: decoding, resizing or the order "
            "of channels differs from the exporting machine's."
        )
    if not failed:
        largest = max(check.max_abs_logit or 0.0 for check in checks)
        return f"{len(checks)} of {len(checks)} photographs agree within {allowed.largest:.2g} (largest {largest:.2g})."
    first = failed[0]
    found = "is not a number" if first.max_abs_logit is None else f"is {first.max_abs_logit:.2g} off"
    text = f"{len(failed)} of {len(checks)} photographs differ by more than {allowed.largest:.2g}: {first.file} {found}"
    lossless_agree = any(check.passed and not _is_jpeg(check) for check in checks)
    if lossless_agree and all(_is_jpeg(check) for check in failed):
        return f"{text}; lossless files agree, so probably {decoder()} decodes JPEG unlike the exporting machine."
    return f"{text}."


def _may_overflow(artifact: Artifact) -> bool:
    """Whether this CPU computes other sums than the file's: of 8-bit weights, by a library that multiplies bytes."""
    of_7_bits = artifact.details.get("weights", "").startswith("7 bits")
    multiplies = artifact.backend in ("onnxruntime", "openvino") and artifact.target.device.lower() == "cpu"
    return multiplies and precision_of(artifact.precision).quantised and not of_7_bits and overflows_bytes()


def _is_jpeg(check: GoldenCheck) -> bool:
    return Path(check.file).suffix.lower() in (".jpg", ".jpeg")


def not_run(artifact: Artifact, why: NotRunnable) -> ArtifactSelfTest:
    """What is said of an artifact that gave no outputs."""
    return ArtifactSelfTest(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        verdict="failed" if why.refused else "could not run",
        sentence=why.reason,
    )
