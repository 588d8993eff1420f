"""Loading an artifact of a bundle."""

import logging
from collections.abc import Sequence
from pathlib import Path

from ..backends.base import Backend
from ..bundle.loose import open_source
from ..bundle.opened import Bundle
from ..bundle.records import Artifact
from ..bundle.selection import NotRunnable, nothing_ran, select_artifacts, try_artifact
from ..errors import BundleError
from ..preprocess import Decode, loader
from ..targets import check_threads
from .choosing import Standing, ranked, why
from .predictor import Predictor

_log = logging.getLogger("edgedistill")


def load(
    bundle: Bundle | str | Path,
    backend: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    device: str | None = None,
    *,
    name: str | None = None,
    decode: Decode = "full",
    warm_up: int = 0,
    require_signature: str | Path | None = None,
) -> Predictor:
    """Load one artifact of a bundle.

        with runtime.load("bundle") as predictor:
            print(predictor.chosen)
            print(predictor.predict("photo.jpg")[0].labels)

    Of the artifacts that match what is given, the fastest that runs here, is verified and meets its gates: by what
    `bench` and `verify` recorded on this device, where they did, else in the manifest's order (`choosing.ranked`).
    `Predictor.chosen` says why. What was passed over is in `Predictor.passed_over` with the reason; an artifact that
    was refused (altered, or not what the manifest says) is logged as a warning too, and so is one that misses a gate
    but is the only one left.

    Args:
        bundle: an opened bundle, its folder or its .zip. For a model file alone see `load_file`.
        backend: e.g. "onnxruntime", "openvino" or "tensorrt".
        precision: e.g. "fp32", "fp16" or "bf16".
        threads: intra-op threads, overriding the deploy config.
        device: the backend's device word, overriding the deploy config.
        name: the artifact's name.
        decode: "full", or "reduced": a JPEG whose sides are at least four times the network's input is decoded at a
            fraction of its size, as in training (docs/images.md says how far the pixels are apart).
        warm_up: inferences of blank images before it returns, so that the first real one is as quick as the others.
        require_signature: the public key (a file, or `ed25519:...`) that must have signed the bundle.

    Raises:
        ConfigError: an impossible number of threads, or an unknown `decode`.
        BundleError: not signed by that key, nothing matches, or nothing that matches runs and one was refused; gives
            each one's reason.
        MissingDependencyError: no matching artifact's backend is available here; says why for each.
    """
    check_threads(threads)
    loader(decode)  # told before anything is loaded
    opened = open_source(bundle, require_signature=require_signature)
    matching = select_artifacts(opened, None if name is None else [name], backend, precision)
    return load_best(opened, matching, threads, device, decode=decode, warm_up=warm_up)


def load_best(
    opened: Bundle,
    matching: Sequence[Artifact],
    threads: int | None = None,
    device: str | None = None,
    *,
    decode: Decode = "full",
    warm_up: int = 0,
) -> Predictor:
    """`load` of the artifacts that were found to match."""
    if not opened.manifest.classes:
        raise BundleError(f"{opened.root}: a model file alone does not say its classes: use `runtime.load_file`.")
    failures: dict[str, NotRunnable] = {}
    candidates = ranked(opened, matching, decode, threads=threads, device=device)
    missed = {one.artifact.name: one.gates for one in candidates if one.standing is Standing.MISSED}
    for candidate in candidates:
        artifact = candidate.artifact
        loaded = try_artifact(opened, artifact, threads=threads, device=device)
        if isinstance(loaded, Backend):
            passed_over = missed | {name: one.reason for name, one in failures.items()}
            passed_over.pop(artifact.name, None)
            predictor = Predictor(
                opened.manifest, artifact, loaded, passed_over, decode=decode, chosen=why(candidate, candidates)
            )
            if artifact.name in missed:
                _log.warning("%s: %s; nothing better runs here.", artifact.name, candidate.gates)
            return warmed_up(predictor, warm_up)
        failures[artifact.name] = loaded
        if loaded.refused and len(candidates) > 1:
            _log.warning("%s: passed over: %s", artifact.name, loaded.reason)
    raise nothing_ran(opened, failures)


def warmed_up(predictor: Predictor, inferences: int) -> Predictor:
    """The predictor after so many inferences; closed where one fails, for nobody else has it yet."""
    try:
        predictor.warm_up(inferences)
    except BaseException:
        predictor.close()
        raise
    return predictor
