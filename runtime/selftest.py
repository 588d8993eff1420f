"""The shortest proof that a bundle works here: its own photographs give the training framework's outputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, features

from .artifacts import NotRunnable, nothing_ran, open_artifact, select_artifacts
from .bundle import Artifact, Bundle, GoldenImage, open_bundle
from .device import device_slug
from .errors import BundleError
from .preprocess import load
from .record import Record
from .targets import Precision

# Allowed |logit difference|: the larger of an absolute part and a share of the logits' spread. fp32 differs by the
# order of summation (up to 4e-4 at |logit| ~ 10 between frameworks). bf16 carries 8 significant bits through some fifty
# layers: ImageNet's MobileNetV2 is off by up to 5 % of the spread on 24 photographs, a random one by 8 %; fp16 with its
# 11 bits by about an eighth of that. Swapped channels cost 39 %, a missing normalisation 66 %.
_ABSOLUTE = 1e-3
_SHARE_OF_SPREAD = {"fp32": 1e-4, "fp16": 3e-2, "bf16": 2e-1}


class GoldenCheck(Record):
    """One photograph through one artifact.

    Attributes:
        file: the photograph, relative to the bundle.
        max_abs_logit: the largest absolute difference of a logit to the stored one; None if not a number.
        passed: it is within the tolerance.
    """

    file: str
    max_abs_logit: float | None
    passed: bool


class ArtifactSelfTest(Record):
    """One artifact on all photographs.

    Attributes:
        status: "ran"; "could_not_run": this machine lacks something; "failed": refused, or its backend gave up.
        sentence: for people: what was found, or why it did not run.
        tolerance: allowed absolute difference of a logit; None when it did not run.
        images: one entry per photograph.
        effective: what the backend says it really used.
    """

    name: str
    backend: str
    precision: str
    status: Literal["ran", "could_not_run", "failed"]
    sentence: str
    tolerance: float | None = None
    images: tuple[GoldenCheck, ...] = ()
    effective: dict[str, str] = {}

    @property
    def passed(self) -> bool:
        return self.status == "ran" and all(image.passed for image in self.images)


class SelfTestReport(Record):
    """What `selftest` found.

    Attributes:
        bundle: the bundle's name.
        device: slug of the machine.
        decoder: what decoded the photographs, e.g. "Pillow 12.0, libjpeg-turbo 3.1".
        artifacts: in the manifest's order.
    """

    bundle: str
    device: str
    decoder: str
    artifacts: tuple[ArtifactSelfTest, ...]

    @property
    def passed(self) -> bool:
        """At least one artifact ran, none failed, and all that ran agree on every photograph."""
        ran = [artifact for artifact in self.artifacts if artifact.status != "could_not_run"]
        return bool(ran) and all(artifact.passed for artifact in ran)


def selftest(
    bundle: Bundle | str | Path,
    *,
    artifacts: Sequence[str] | None = None,
    backend: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    tolerance: float | None = None,
) -> SelfTestReport:
    """Decode the bundle's photographs, resize, infer, and compare with the training framework's logits.

    The photographs are original files, so decoding and resizing are proven with the model. Tolerance per artifact:
    max(0.001, share x spread of the golden logits), share 1e-4 for fp32, 0.03 for fp16, 0.2 for bf16. A JPEG decoder
    other than libjpeg-turbo may decode some pixels one level apart, which can exceed the fp32 tolerance: a failure on
    JPEG files alone is worded accordingly.

    Args:
        bundle: an opened bundle, its folder or its .zip.
        artifacts: names; all that match by default.
        backend: only this backend's.
        precision: only this precision's.
        threads: intra-op threads of the backends, overriding the deploy configs.
        tolerance: allowed absolute difference of a logit, in place of the above.

    Returns:
        The report; an artifact that cannot run here is in it with the reason.

    Raises:
        BundleError: no such artifact, no photographs, an altered one, or none could be run and one was refused.
        DataError: a photograph cannot be decoded here.
        MissingDependencyError: no artifact could be run here.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    chosen = select_artifacts(opened, artifacts, backend, precision)
    golden = opened.manifest.selftest
    if not golden:
        raise BundleError(f"{opened.root}: carries no self-test photographs. `edgedistill export` adds them.")
    images = np.stack([load(opened.path(entry.file), opened.manifest.preprocessing) for entry in golden])
    expected = np.array([entry.logits for entry in golden], dtype=np.float64)

    tested, failures = [], {}
    for artifact in chosen:
        predictor = open_artifact(opened, artifact, threads=threads)
        if isinstance(predictor, NotRunnable):
            failures[artifact.name] = predictor
            tested.append(_not_run(artifact, predictor.reason, refused=predictor.refused))
            continue
        with predictor:
            try:
                logits, _ = predictor.infer(images)
            except Exception as error:  # a backend raises its own types; the reason is reported
                tested.append(_not_run(artifact, f"inference failed ({type(error).__name__}: {error})", refused=True))
                continue
            allowed = tolerance if tolerance is not None else tolerance_of(artifact.precision, expected)
            tested.append(_judge(artifact, golden, np.abs(logits - expected), allowed, dict(predictor.effective)))
    if len(failures) == len(chosen):
        raise nothing_ran(opened, failures)
    return SelfTestReport(bundle=opened.manifest.name, device=device_slug(), decoder=decoder(), artifacts=tuple(tested))


def tolerance_of(precision: Precision, logits: np.ndarray) -> float:
    """Allowed absolute difference of a logit for a precision and the training framework's logits (N, C).

    One rule for export and self-test: what export calls verified passes here. It catches a wrong graph or a wrong
    decoder; what a reduced precision costs in mAP is for `verify` to say.
    """
    return max(_ABSOLUTE, _SHARE_OF_SPREAD[precision] * float(np.ptp(logits)))


def decoder() -> str:
    """What decodes images here."""
    turbo = features.version("libjpeg_turbo")
    return f"Pillow {Image.__version__}, " + (
        f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    )


def _judge(
    artifact: Artifact,
    golden: Sequence[GoldenImage],
    difference: np.ndarray,
    tolerance: float,
    effective: dict[str, str],
) -> ArtifactSelfTest:
    checks = tuple(
        GoldenCheck(
            file=entry.file.path,
            max_abs_logit=float(largest) if np.isfinite(largest) else None,
            passed=bool(largest <= tolerance),  # NaN is not
        )
        for entry, largest in zip(golden, difference.max(axis=1), strict=True)
    )
    return ArtifactSelfTest(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        status="ran",
        sentence=_sentence(checks, tolerance),
        tolerance=tolerance,
        images=checks,
        effective=effective,
    )


def _sentence(checks: Sequence[GoldenCheck], tolerance: float) -> str:
    failed = [check for check in checks if not check.passed]
    if not failed:
        largest = max(check.max_abs_logit or 0.0 for check in checks)
        return f"{len(checks)} of {len(checks)} photographs agree within {tolerance:.2g} (largest {largest:.2g})."
    first = failed[0]
    found = "is not a number" if first.max_abs_logit is None else f"is {first.max_abs_logit:.2g} off"
    text = f"{len(failed)} of {len(checks)} photographs differ by more than {tolerance:.2g}: {first.file} {found}"
    lossless_agree = any(check.passed and not _is_jpeg(check) for check in checks)
    if lossless_agree and all(_is_jpeg(check) for check in failed):
        return f"{text}; lossless files agree, so probably {decoder()} decodes JPEG unlike the exporting machine."
    return f"{text}."


def _is_jpeg(check: GoldenCheck) -> bool:
    return Path(check.file).suffix.lower() in (".jpg", ".jpeg")


def _not_run(artifact: Artifact, reason: str, *, refused: bool) -> ArtifactSelfTest:
    return ArtifactSelfTest(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        status="failed" if refused else "could_not_run",
        sentence=reason,
    )
