"""A loaded artifact on decoded images: pixels in, the graph's outputs out."""

import math
from collections.abc import Mapping

import numpy as np

from ..backends.base import Backend
from ..bundle.records import Artifact, Manifest
from ..errors import BundleError, InferenceError
from ..preprocess import normalize
from ..tensors import EMBEDDING, TensorSpec
from .side_by_side import SideBySide


class Inference:
    """What a `Predictor` is on decoded images; safe in several threads.

    Args:
        manifest: classes, thresholds and preprocessing.
        artifact: what was loaded.
        backend: loaded; closed with this.
    """

    def __init__(self, manifest: Manifest, artifact: Artifact, backend: Backend) -> None:
        self.manifest = manifest
        self.artifact = artifact
        self._backend = backend
        self._side_by_side = SideBySide(artifact.name, backend, artifact.size)
        self._closed = False

    @property
    def classes(self) -> tuple[str, ...]:
        """C names in the order of every score."""
        return self.manifest.classes

    @property
    def effective(self) -> dict[str, str]:
        """What the backend says it really does: library, device or providers, precision, threads."""
        return self._backend.effective

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the loaded file says of itself, by key; export writes what `bundle.file_facts` describes."""
        return self._backend.metadata

    def infer(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run decoded images; a batch beyond the artifact's range is split.

        Args:
            images: uint8 (N, H, W, 3) RGB at the manifest's size, as `preprocess.load` gives them.

        Returns:
            logits and probabilities, each float32 (N, C), as the graph gives them: at temperature 1, and whether or not
            they are numbers.
        """
        self._require_open()
        if not len(images):
            empty = np.empty((0, len(self.classes)), np.float32)
            return empty, empty.copy()
        return self._scores(self._infer(images))

    def infer_embedded(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """`infer`, and of the same inference the embeddings float32 (N, D); None where the graph gives none."""
        self._require_open()
        if not len(images):
            return (*self.infer(images), None)
        outputs = self._infer(images)
        name = next((spec.name for spec in self.manifest.outputs if spec.kind == EMBEDDING), "")
        return (*self._scores(outputs), outputs.get(name))

    def warm_up(self, inferences: int = 1) -> None:
        """Run blank images of the artifact's typical batch, so that the first real one is as quick as the others."""
        batch, size = self.artifact.target.batch.typical, self.manifest.preprocessing.size
        for _ in range(inferences):
            self.infer(np.zeros((batch, *size, 3), np.uint8))

    def close(self) -> None:
        """Free the backend's handles; the predictor cannot be used after. Closing twice is fine."""
        self._closed = True
        self._side_by_side.close()

    def _require_open(self) -> None:
        if self._closed:
            raise BundleError(f"{self.artifact.name}: this predictor is closed; load it again.")

    def _optional(self, kind: str) -> TensorSpec:
        """The optional output of that kind."""
        for spec in self.manifest.outputs:
            if spec.kind == kind:
                return spec
        raise BundleError(
            f"{self.manifest.name or self.artifact.name}: was exported without {kind}: export it again with "
            f"`--output {kind}`."
        )

    def _probabilities(self, outputs: dict[str, np.ndarray]) -> np.ndarray:
        """At the artifact's temperature, where it has an operating point of its own."""
        logits, probabilities = self._scores(outputs)
        self._sound(probabilities if self.artifact.operating_point is None else logits)
        return self.artifact.calibrated(logits, probabilities)

    def _sound(self, values: np.ndarray) -> np.ndarray:
        # The sum of squares is a number where all of them are: one call for what is asked after each inference.
        if not math.isfinite(np.vdot(values, values)) and not np.isfinite(values).all():
            raise BundleError(
                f"{self.artifact.name}: its outputs hold NaN or infinity: the model is broken, or overflows in "
                f"{self.effective.get('precision', self.artifact.precision)}. `edgedistill selftest` tells which "
                "artifacts are sound here."
            )
        return values

    def _infer(self, images: np.ndarray, backend: Backend | None = None) -> dict[str, np.ndarray]:
        """All outputs of at least one image; by `backend` in place of its own."""
        backend = backend or self._backend
        most = self.artifact.target.batch.max
        if len(images) <= most:
            return self._run(images, backend)
        parts = [self._run(images[start : start + most], backend) for start in range(0, len(images), most)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, images: np.ndarray, backend: Backend) -> dict[str, np.ndarray]:
        """One inference; a batch below the artifact's minimum is filled up with copies of its last image."""
        count, missing = len(images), self.artifact.target.batch.min - len(images)
        if missing > 0:
            images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        if self.manifest.input == "float32_nchw":
            images = normalize(images, self.manifest.preprocessing)
        outputs = backend.infer(images)
        return {name: values[:count] for name, values in outputs.items() if values.ndim and len(values) == len(images)}

    def _scores(self, outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Logits and probabilities from the graph's outputs."""
        for name in ("logits", "probabilities"):
            if name not in outputs:  # of another number of images: OpenVINO's int8 on some Arm processors, docs/arm.md
                raise InferenceError(self.artifact.name, f"the backend gave no {name} for the images that it took")
        return outputs["logits"], outputs["probabilities"]
