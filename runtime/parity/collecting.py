"""The outputs of several artifacts on one data set: every image is decoded once and goes through all of them."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from ..backends.base import Backend
from ..batches import Batch, SkippedImage, decode_batches
from ..bundle.opened import Bundle
from ..bundle.records import Artifact, Manifest
from ..bundle.selection import NotRunnable, try_artifact
from ..datasets import Dataset
from ..errors import InferenceError
from ..predictor import Predictor
from ..preprocess import Decode
from .golden import GoldenSet
from .golden_report import ArtifactSelfTest
from .outputs import Outputs
from .soundness import outputs_problem

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Collected:
    """What came out.

    Attributes:
        decoded: bool (N,), whether an image could be decoded.
        skipped: the images that could not, with the reason.
        logits: by artifact that ran to the end: float32 (N, C), meaningful where `decoded`.
        probabilities: the same for its probabilities.
        effective: by artifact that ran to the end: the backend's effective properties.
        failures: by artifact that did not: why.
        golden: by artifact that could be loaded: what it says of the bundle's own photographs, where there are any.
    """

    decoded: np.ndarray
    skipped: tuple[SkippedImage, ...]
    logits: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    effective: dict[str, dict[str, str]]
    failures: dict[str, NotRunnable]
    golden: dict[str, ArtifactSelfTest]

    def outputs(self, artifact: Artifact, manifest: Manifest, rows: np.ndarray) -> Outputs:
        """One artifact's outputs at `rows` (bool (N,)), with the probabilities and thresholds that it reports by."""
        logits = self.logits[artifact.name][rows]
        calibrated = artifact.calibrated(logits, self.probabilities[artifact.name][rows])
        thresholds = np.asarray(manifest.thresholds_of(artifact))
        return Outputs(logits, calibrated, thresholds, self.effective[artifact.name])


def collect_outputs(
    bundle: Bundle,
    artifacts: Sequence[Artifact],
    data: Dataset,
    *,
    threads: int | None,
    device: str | None = None,
    batch_size: int,
    max_bad_share: float,
    decode: Decode = "full",
    progress: Progress | None,
) -> Collected:
    """Run every artifact that can be run; one that cannot, or gives up on the way, does not stop the others.

    It may be that none is left.

    Args:
        bundle: where the artifacts are.
        artifacts: which.
        data: N images.
        threads: intra-op threads of the backends; None keeps the deploy configs'.
        device: the backends' device word; None keeps the deploy configs'.
        batch_size: images per inference.
        max_bad_share: share of undecodable images that is tolerated.
        decode: how images are decoded.
        progress: called with (images done, N).

    Raises:
        BundleError: one of the bundle's own photographs is altered.
        DataError: it cannot be decoded here, or too many images are undecodable.
    """
    images, classes = len(data), len(bundle.manifest.classes)
    decoded = np.zeros(images, dtype=bool)
    failures: dict[str, NotRunnable] = {}
    predictors: dict[str, Predictor] = {}
    photographs = GoldenSet.of(bundle)
    golden: dict[str, ArtifactSelfTest] = {}
    with ExitStack() as stack:
        for artifact in artifacts:
            loaded = try_artifact(bundle, artifact, threads=threads, device=device)
            if isinstance(loaded, Backend):
                predictors[artifact.name] = stack.enter_context(Predictor(bundle.manifest, artifact, loaded))
            else:
                failures[artifact.name] = loaded
        if photographs is not None:
            golden = {name: photographs.test(predictor) for name, predictor in predictors.items()}
        logits = {name: np.zeros((images, classes), np.float32) for name in predictors}
        probabilities = {name: np.zeros((images, classes), np.float32) for name in predictors}
        batches = decode_batches(
            data.images,
            bundle.manifest.preprocessing,
            batch_size,
            ids=data.ids,
            max_bad_share=max_bad_share,
            decode=decode,
        )
        for batch in batches if predictors else ():
            if not predictors:
                break
            decoded[batch.indices] = True
            for name in list(predictors):
                reason = infer_batch(predictors[name], batch, logits[name], probabilities[name])
                if reason is not None:
                    failures[name] = NotRunnable(reason, refused=True)
                    del predictors[name]
            if progress is not None:
                progress(int(batch.indices[-1]) + 1, images)
        effective = {name: dict(predictor.effective) for name, predictor in predictors.items()}
    return Collected(
        decoded=decoded,
        skipped=tuple(batches.skipped),
        logits={name: logits[name] for name in predictors},
        probabilities={name: probabilities[name] for name in predictors},
        effective=effective,
        failures=failures,
        golden=golden,
    )


def infer_batch(predictor: Predictor, batch: Batch, logits: np.ndarray, probabilities: np.ndarray) -> str | None:
    """Run one batch into the rows of `logits` and `probabilities`; the reason if that is not possible."""
    try:
        found = predictor.infer(batch.images)
    except InferenceError as error:
        return error.reason
    problem = outputs_problem(*found)
    if not problem:
        logits[batch.indices], probabilities[batch.indices] = found
    return problem or None
