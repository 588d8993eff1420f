"""Was this very export made already? Needs no torch, so that a repeated command ends at once."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from .. import __version__
from ..runtime.backends.base import BACKENDS
from ..runtime.bundle import Artifact, Bundle, InputKind, Lineage, open_bundle
from ..runtime.datasets.base import Dataset
from ..runtime.errors import BundleError
from ..runtime.files import sha256_of
from ..runtime.metrics import ThresholdRule
from ..runtime.targets import Target
from .builders import BUILDERS
from .quantization.calibration import Calibration
from .quantization.products import multiplies_exactly
from .requested import int8_gates
from .toolchains.installed import installed_toolchain


def request_digest(
    network_sha256: str,
    targets: Sequence[Target],
    *,
    name: str = "",
    input: InputKind = "uint8_nhwc",
    opset: int | None = None,
    outputs: Sequence[str] = (),
    golden: Sequence[Path] | int = 0,
    references: Sequence[Dataset] = (),
    calibration: Calibration | None = None,
    validation: Dataset | None = None,
    thresholds: ThresholdRule | None = None,
    lineage: Lineage | None = None,
) -> str:
    """SHA-256 over all that decides a bundle, our version, the toolchain's, and what this CPU makes of int8 included.

    Args:
        network_sha256: of the student's file; of another network, over its files and all that was said of it.
        targets: checked deploy configs.
        name: of the bundle, where it is not the network's.
        input: what the graph takes.
        opset: of ONNX files, where one is asked for.
        outputs: optional ones.
        golden: the images that travel as proof, or how many are chosen from the first reference split.
        references: splits whose logits are stored, as they are listed.
        calibration: of int8 targets.
        validation: what thresholds are estimated on.
        thresholds: by which rule.
        lineage: of the network, where it is given to export; its points may differ in their last digits from one
            evaluation to the next, and make no other request.
    """
    parts = {
        "edgedistill": __version__,
        "toolchain": installed_toolchain(),
        "network": network_sha256,
        "targets": list(targets),
        "exact_products": int8_gates(targets) is None or multiplies_exactly(),  # else int8 weights have 7 bits
        "name": name,
        "input": input,
        "opset": opset,
        "outputs": list(outputs),
        "golden": golden if isinstance(golden, int) else [sha256_of(path) for path in golden],
        "references": [_stamp(split) for split in references],
        "calibration": None if calibration is None else [_stamp(calibration.ranges), _stamp(calibration.held_out)],
        "validation": None if validation is None else _stamp(validation),
        "thresholds": None if validation is None else str(thresholds),
        "lineage": [] if lineage is None else [(one.role, one.model, one.taught_by) for one in lineage.networks],
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def made_already(out: Path, request: str) -> Bundle | None:
    """The bundle at `out`, if it is what this request makes, intact, and would not be better made again; else None."""
    try:
        bundle = open_bundle(out)
        manifest = bundle.manifest
        if manifest.provenance.request_sha256 != request or any(map(_could_be_better, manifest.artifacts)):
            return None
        for entry in manifest.files():
            bundle.read(entry)
    except BundleError:
        return None
    return bundle


def _could_be_better(artifact: Artifact) -> bool:
    """It failed, and not for a toolchain that is still missing; or it could not run where it was made and may here."""
    if artifact.status == "verified":
        return False
    if artifact.status == "failed":
        return not BUILDERS.get(artifact.backend).toolchain_missing(artifact.target)
    return BACKENDS.get(artifact.backend).lacking(artifact.target.device) is None


def _stamp(split: Dataset) -> list[str | list[int]]:
    """A split's fingerprint, and the size and time of each image file: a fingerprint knows files by their names."""
    found: list[int] = []
    for image in split.images:
        if isinstance(image, str | os.PathLike) and not isinstance(image, np.ndarray):
            try:
                facts = os.stat(image)  # noqa: PTH116 (a Path per image is slow)
            except (OSError, ValueError):
                found.append(-1)
            else:
                found += (facts.st_size, facts.st_mtime_ns)
    return [split.fingerprint(), found]
