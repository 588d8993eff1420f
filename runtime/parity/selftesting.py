"""The shortest proof that a bundle works here: its own photographs give the training framework's outputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, features

from ..backends.base import Backend
from ..bundle.loose import open_source
from ..bundle.opened import Bundle
from ..bundle.records import Artifact, GoldenImage
from ..bundle.selection import NotRunnable, nothing_ran, select_artifacts, try_artifact
from ..device import device_slug
from ..errors import BundleError, DataError
from ..precisions import MARGIN, MEAN_MARGIN, precision_of
from ..predictor import Predictor
from ..preprocess import load
from ..targets import check_threads
from .report import ArtifactSelfTest, GoldenCheck, SelfTestReport
from .soundness import outputs_problem


def selftest(
    bundle: Bundle | str | Path,
    *,
    artifacts: Sequence[str] | None = None,
    backend: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    device: str | None = None,
    tolerance: float | None = None,
    require_signature: str | Path | None = None,
) -> SelfTestReport:
    """Decode the bundle's photographs, resize, infer, and compare with the training framework's logits.

    The photographs are original files, so decoding and resizing are proven with the model; the graph's own inputs and
    outputs are held against the manifest when it is loaded. An artifact may differ by three times the largest error
    that export measured for it, and on average by one and a half times the mean error, and by 0.001 (or 1e-4 of the
    logits' spread) in any case; where export could not run it, by its precision's share of the spread
    (`runtime.precisions`). A JPEG decoder other than libjpeg-turbo may
    decode some pixels one level apart, which can exceed that: a failure on JPEG files alone is worded accordingly.

    Args:
        bundle: an opened bundle, its folder or its .zip.
        artifacts: names; all that match by default.
        backend: only this backend's.
        precision: only this precision's.
        threads: intra-op threads of the backends, overriding the deploy configs.
        device: the backends' device word, overriding the deploy configs; one that does not know it could not run.
        tolerance: allowed absolute difference of a logit, in place of the above.
        require_signature: the public key (a file, or `ed25519:...`) that must have signed the bundle.

    Returns:
        The report; an artifact that cannot run here is in it with the reason.

    Raises:
        ConfigError: an impossible number of threads.
        BundleError: not signed by that key, no such artifact, no photographs, an altered one, or none could be run and
            one was refused.
        DataError: a photograph cannot be decoded here.
        MissingDependencyError: no artifact could be run here.
    """
    check_threads(threads)
    opened = open_source(bundle, require_signature=require_signature)
    chosen = select_artifacts(opened, artifacts, backend, precision)
    golden = opened.manifest.selftest
    if not golden:
        raise BundleError(f"{opened.root}: carries no self-test photographs. `edgedistill export` adds them.")
    images = np.stack([_decoded(opened, entry) for entry in golden])
    expected = np.array([entry.logits for entry in golden], dtype=np.float64)

    tested, failures = [], {}
    for artifact in chosen:
        loaded = try_artifact(opened, artifact, threads=threads, device=device)
        if isinstance(loaded, Backend):
            with Predictor(opened.manifest, artifact, loaded) as predictor:
                tested.append(_test(predictor, golden, images, expected, tolerance))
        else:
            failures[artifact.name] = loaded
            tested.append(_not_run(artifact, loaded))
    if len(failures) == len(chosen):
        raise nothing_ran(opened, failures)
    return SelfTestReport(bundle=opened.manifest.name, device=device_slug(), decoder=decoder(), artifacts=tuple(tested))


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


def _test(
    predictor: Predictor,
    golden: Sequence[GoldenImage],
    images: np.ndarray,
    expected: np.ndarray,
    tolerance: float | None,
) -> ArtifactSelfTest:
    artifact = predictor.artifact
    try:
        logits, probabilities = predictor.infer(images)
    except Exception as error:  # a backend raises its own types; the reason is reported
        text = " ".join(str(error).split())
        return _not_run(artifact, NotRunnable(f"inference failed ({type(error).__name__}: {text})", refused=True))
    allowed = _allowed(artifact, expected, tolerance)
    difference = np.abs(logits - expected)
    checks = tuple(
        GoldenCheck(
            file=entry.file.path,
            max_abs_logit=float(largest) if np.isfinite(largest) else None,
            passed=bool(largest <= allowed.largest),  # NaN is not
        )
        for entry, largest in zip(golden, difference.max(axis=1), strict=True)
    )
    mean = float(difference.mean())
    problem = outputs_problem(logits, probabilities)
    near = allowed.mean is None or mean <= allowed.mean
    return ArtifactSelfTest(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        verdict="passed" if near and not problem and all(check.passed for check in checks) else "failed",
        sentence=f"{problem}." if problem else _sentence(checks, allowed, mean),
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


def _is_jpeg(check: GoldenCheck) -> bool:
    return Path(check.file).suffix.lower() in (".jpg", ".jpeg")


def _not_run(artifact: Artifact, why: NotRunnable) -> ArtifactSelfTest:
    return ArtifactSelfTest(
        name=artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        verdict="failed" if why.refused else "could not run",
        sentence=why.reason,
    )
