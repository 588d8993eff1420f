"""Images of a closed-form model, and bundles with other deploy configs."""

import msgspec
import numpy as np

from edgedistill.runtime.bundle import Bundle
from edgedistill.runtime.datasets import Dataset

CLASSES = ("red", "green", "blue", "bright")
QUICK = {"batch_size": 3}


def flat(reference, count):
    """Noisy flat images; the labels are the model's opinion with a few flipped, so that no AP is perfect."""
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 200, (count, 1, 1, 3)) + rng.integers(0, 50, (count, 16, 16, 3))).astype(np.uint8)
    labels = (reference(images) > 0).astype(np.int8)
    labels ^= (rng.random(labels.shape) < 0.1).astype(np.int8)
    return Dataset("flat", CLASSES, tuple(f"{i:02}" for i in range(count)), list(images), labels)


def changed(bundle, **targets):
    """The bundle with other deploy configs: name -> what `Target` fields become."""
    chosen = tuple(
        msgspec.structs.replace(
            a, target=msgspec.structs.replace(a.target, **targets.get(a.name.replace("-", "_"), {}))
        )
        for a in bundle.manifest.artifacts
    )
    return Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, artifacts=chosen), b"")


def without_golden(bundle):
    """The bundle without photographs of its own, which a model that is made worse would not pass."""
    return Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, selftest=()), b"")


def gated(bundle):
    return changed(
        bundle,
        ort_fp32={"gates": {"max_map_drop": 1.0, "max_bytes": 10**9}},
        ov_fp32={"gates": {"max_map_drop": 0.1, "max_bytes": 10}},
    )


def by_name(report):
    return {artifact.name: artifact for artifact in report.artifacts}


def blind_to_blue(reference):
    def logits(images):
        scores = reference(images)
        scores[:, 2] = 0.0
        return scores

    return logits
