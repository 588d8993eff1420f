"""From photographs to labels: an artifact with its preprocessing and its thresholds."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import msgspec
import numpy as np

from .backends.base import Backend
from .batches import decode_batches
from .bundle.loose import open_source
from .bundle.opened import Bundle
from .bundle.records import Artifact, Manifest
from .bundle.selection import NotRunnable, nothing_ran, select_artifacts, try_artifact
from .errors import BundleError
from .explanation import Explanation
from .images import ImageSource, is_source, source_name
from .preprocess import load as load_image
from .preprocess import normalize
from .targets import check_threads
from .tensors import EMBEDDING, SALIENCY, TensorSpec

Images: TypeAlias = "ImageSource | Sequence[ImageSource]"

_log = logging.getLogger("edgedistill")


class Prediction(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What the model says about one image.

    Attributes:
        source: the path as it was given, an open file's name, or "image <place>" for what has no name.
        classes: C names.
        thresholds: per class, the probability from which its label is reported.
        probabilities: float32 (C,).
    """

    source: str
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    probabilities: np.ndarray

    @property
    def labels(self) -> dict[str, float]:
        """{class: probability} of the classes at or above their threshold, the most probable first."""
        return {name: p for i, name, p in self._sorted() if p >= self.thresholds[i]}

    def top(self, k: int) -> dict[str, float]:
        """{class: probability} of the `k` most probable classes, whatever their thresholds."""
        return {name: p for _, name, p in self._sorted()[:k]}

    def _sorted(self) -> list[tuple[int, str, float]]:
        order = np.argsort(-self.probabilities, kind="stable")
        return [(int(i), self.classes[i], float(self.probabilities[i])) for i in order]


class Predictor:
    """A loaded artifact. Close it, or use it in a `with` block, to free what its backend holds.

    One predictor may be shared by threads: images are decoded in the calling thread, inferences take turns. For
    parallel inferences load one predictor per thread.

    Args:
        manifest: classes, thresholds and preprocessing.
        artifact: what was loaded.
        backend: loaded; the predictor closes it.
        passed_over: why each artifact that would have come first was not taken, by name.
    """

    def __init__(
        self,
        manifest: Manifest,
        artifact: Artifact,
        backend: Backend,
        passed_over: Mapping[str, str] | None = None,
    ) -> None:
        self.manifest = manifest
        self.artifact = artifact
        self.passed_over = dict(passed_over or {})
        self._backend = backend
        self._lock = threading.Lock()
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

    def predict(self, images: Images) -> list[Prediction]:
        """Label one image or a list of them.

        Args:
            images: one image as `runtime.images.open_image` takes it (a path, encoded bytes, an open binary file, an
                array, a Pillow image), or a list of such.

        Returns:
            One prediction per image, in order; a list of one for a single image.

        Raises:
            DataError: an image cannot be decoded; names it.
            BundleError: the model's outputs are not numbers, or the predictor is closed.
        """
        sources = _as_list(images)
        probabilities, thresholds = self.scores(sources), self.manifest.thresholds_of(self.artifact)
        return [
            Prediction(
                source=_called(source, place),
                classes=self.classes,
                thresholds=thresholds,
                probabilities=row,
            )
            for place, (source, row) in enumerate(zip(sources, probabilities, strict=True))
        ]

    def scores(self, images: Images) -> np.ndarray:
        """Probabilities float32 (N, C) of one image or a list of them, for what `predict` takes.

        They are at the artifact's temperature, where it has an operating point of its own.

        Raises:
            DataError: an image cannot be decoded; names it.
            BundleError: the model's outputs are not numbers, or the predictor is closed.
        """
        self._require_open()
        sources = _as_list(images)
        if not sources:
            return np.empty((0, len(self.classes)), np.float32)
        outputs = [self.infer(pixels) for pixels in self._decode(sources)]
        logits, probabilities = (np.concatenate(column) for column in zip(*outputs, strict=True))
        return self._probabilities(logits, probabilities)

    def embed(self, images: Images) -> np.ndarray:
        """Embeddings float32 (N, D) of one image or a list of them, for what `predict` takes.

        Raises:
            DataError: an image cannot be decoded; names it.
            BundleError: the bundle was exported without them, they are not numbers, or the predictor is closed.
        """
        self._require_open()
        spec, sources = self._optional(EMBEDDING), _as_list(images)
        if not sources:
            return np.empty((0, int(spec.shape[1])), np.float32)
        return self._sound(np.concatenate([self._infer(pixels)[spec.name] for pixels in self._decode(sources)]))

    def explain(self, images: Images) -> list[Explanation]:
        """Where each class is seen, for what `predict` takes; in order, one for a single image.

        Raises:
            DataError: an image cannot be decoded; names it.
            BundleError: the bundle was exported without saliency, it is not numbers, or the predictor is closed.
        """
        self._require_open()
        spec, sources = self._optional(SALIENCY), _as_list(images)
        found: list[Explanation] = []
        for pixels in self._decode(sources) if sources else ():
            outputs = self._infer(pixels)
            probabilities = self._probabilities(*self._scores(outputs))
            for maps, row in zip(self._sound(outputs[spec.name]), probabilities, strict=True):
                source = _called(sources[len(found)], len(found))
                found.append(Explanation(source=source, classes=self.classes, probabilities=row, maps=maps))
        return found

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

    def close(self) -> None:
        """Free the backend's handles; the predictor cannot be used after. Closing twice is fine."""
        self._closed = True
        self._backend.close()

    def __enter__(self) -> "Predictor":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise BundleError(f"{self.artifact.name}: this predictor is closed; load it again.")

    def _decode(self, sources: list[ImageSource]) -> Iterator[np.ndarray]:
        """uint8 (B, H, W, 3) batches; with more than one batch decoding overlaps inference."""
        most = self.artifact.target.batch.max
        preprocessing = self.manifest.preprocessing
        if len(sources) <= most:
            yield np.stack([load_image(source, preprocessing) for source in sources])
            return
        for batch in decode_batches(sources, preprocessing, most, max_bad_share=0):
            yield batch.images

    def _optional(self, kind: str) -> TensorSpec:
        """The optional output of that kind."""
        for spec in self.manifest.outputs:
            if spec.kind == kind:
                return spec
        raise BundleError(
            f"{self.manifest.name or self.artifact.name}: was exported without {kind}: export it again with "
            f"`--output {kind}`."
        )

    def _probabilities(self, logits: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """At the artifact's temperature, where it has an operating point of its own."""
        self._sound(probabilities if self.artifact.operating_point is None else logits)
        return self.artifact.calibrated(logits, probabilities)

    def _sound(self, values: np.ndarray) -> np.ndarray:
        if not np.isfinite(values).all():
            raise BundleError(
                f"{self.artifact.name}: its outputs hold NaN or infinity: the model is broken, or overflows in "
                f"{self.effective.get('precision', self.artifact.precision)}. `edgedistill selftest` tells which "
                "artifacts are sound here."
            )
        return values

    def _infer(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs of at least one image."""
        most = self.artifact.target.batch.max
        parts = [self._run(images[start : start + most]) for start in range(0, len(images), most)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """One inference; a batch below the artifact's minimum is filled up with copies of its last image."""
        count, missing = len(images), self.artifact.target.batch.min - len(images)
        if missing > 0:
            images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        if self.manifest.input == "float32_nchw":
            images = normalize(images, self.manifest.preprocessing)
        with self._lock:
            outputs = self._backend.infer(images)
        return {name: values[:count] for name, values in outputs.items() if values.ndim and len(values) == len(images)}

    def _scores(self, outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Logits and probabilities from the graph's outputs."""
        return outputs["logits"], outputs["probabilities"]


def load(
    bundle: Bundle | str | Path,
    backend: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    device: str | None = None,
    *,
    name: str | None = None,
    require_signature: str | Path | None = None,
) -> Predictor:
    """Load one artifact of a bundle.

        with runtime.load("bundle") as predictor:
            print(predictor.predict("photo.jpg")[0].labels)

    Of the artifacts that match what is given, the first that runs here, in the manifest's order, those that export
    verified before those that it could not run. What was passed over is in `Predictor.passed_over` with the reason; an
    artifact that was refused (altered, or not what the manifest says) is logged as a warning too.

    Args:
        bundle: an opened bundle, its folder or its .zip. For a model file alone see `load_file`.
        backend: e.g. "onnxruntime", "openvino" or "tensorrt".
        precision: e.g. "fp32", "fp16" or "bf16".
        threads: intra-op threads, overriding the deploy config.
        device: the backend's device word, overriding the deploy config.
        name: the artifact's name.
        require_signature: the public key (a file, or `ed25519:...`) that must have signed the bundle.

    Raises:
        ConfigError: an impossible number of threads.
        BundleError: not signed by that key, nothing matches, or nothing that matches runs and one was refused; gives
            each one's reason.
        MissingDependencyError: no matching artifact's backend is available here; says why for each.
    """
    check_threads(threads)
    opened = open_source(bundle, require_signature=require_signature)
    if not opened.manifest.classes:
        raise BundleError(f"{opened.root}: a model file alone does not say its classes: use `runtime.load_file`.")
    failures: dict[str, NotRunnable] = {}
    chosen = select_artifacts(opened, None if name is None else [name], backend, precision)
    for artifact in sorted(chosen, key=lambda one: one.status != "verified"):
        loaded = try_artifact(opened, artifact, threads=threads, device=device)
        if isinstance(loaded, Backend):
            return Predictor(opened.manifest, artifact, loaded, {name: one.reason for name, one in failures.items()})
        failures[artifact.name] = loaded
        if loaded.refused and len(chosen) > 1:
            _log.warning("%s: passed over: %s", artifact.name, loaded.reason)
    raise nothing_ran(opened, failures)


def _called(source: ImageSource, place: int) -> str:
    return str(source) if isinstance(source, str | Path) else source_name(source, f"image {place}")


def _as_list(images: Images) -> list[ImageSource]:
    return [images] if is_source(images) else list(images)
