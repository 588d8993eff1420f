"""From photographs to labels: a bundle's artifact with its preprocessing and its thresholds."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import msgspec
import numpy as np

from .backends.base import BACKENDS, Backend
from .batches import decode_batches
from .bundle import Artifact, Bundle, Manifest, open_bundle
from .errors import MissingDependencyError
from .images import ImageSource, is_source, source_name
from .preprocess import load as load_image
from .preprocess import normalize

Images: TypeAlias = "ImageSource | Sequence[ImageSource]"


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
        bundle: the opened bundle.
        backend: the loaded artifact; the predictor closes it.
    """

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._bundle = bundle
        self._backend = backend
        self._lock = threading.Lock()

    @property
    def manifest(self) -> Manifest:
        return self._bundle.manifest

    @property
    def artifact(self) -> Artifact:
        return self._backend.artifact

    @property
    def classes(self) -> tuple[str, ...]:
        """C names in the order of every score."""
        return self.manifest.classes

    @property
    def effective(self) -> dict[str, str]:
        """What the backend says it really does: library, device or providers, precision, threads."""
        return self._backend.effective

    def predict(self, images: Images) -> list[Prediction]:
        """Label one image or a list of them.

        Args:
            images: one image as `runtime.images.open_image` takes it (a path, encoded bytes, an open binary file, an
                array, a Pillow image), or a list of such.

        Returns:
            One prediction per image, in order; a list of one for a single image.

        Raises:
            DataError: an image cannot be decoded; names it.
        """
        sources = _as_list(images)
        probabilities = self.scores(sources)
        return [
            Prediction(
                source=str(source) if isinstance(source, str | Path) else source_name(source, f"image {place}"),
                classes=self.classes,
                thresholds=self.manifest.thresholds,
                probabilities=row,
            )
            for place, (source, row) in enumerate(zip(sources, probabilities, strict=True))
        ]

    def scores(self, images: Images) -> np.ndarray:
        """Probabilities float32 (N, C) of one image or a list of them, for what `predict` takes.

        Raises:
            DataError: an image cannot be decoded; names it.
        """
        sources = _as_list(images)
        if not sources:
            return np.empty((0, len(self.classes)), np.float32)
        rows = [self.infer(pixels)[1] for pixels in self._decode(sources)]
        return np.concatenate(rows)

    def infer(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run decoded images; a batch beyond the artifact's range is split.

        Args:
            images: uint8 (N, H, W, 3) RGB at the manifest's size, as `preprocess.load` gives them.

        Returns:
            logits and probabilities, each float32 (N, C).
        """
        batch = self.artifact.target.batch
        parts = [self._run(images[start : start + batch.max]) for start in range(0, len(images), batch.max)]
        if not parts:
            empty = np.empty((0, len(self.classes)), np.float32)
            return empty, empty.copy()
        logits, probabilities = (np.concatenate(column) for column in zip(*parts, strict=True))
        return logits, probabilities

    def close(self) -> None:
        """Free the backend's handles; the predictor cannot be used after."""
        self._backend.close()

    def __enter__(self) -> "Predictor":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _decode(self, sources: list[ImageSource]) -> Iterator[np.ndarray]:
        """uint8 (B, H, W, 3) batches; with more than one batch decoding overlaps inference."""
        most = self.artifact.target.batch.max
        preprocessing = self.manifest.preprocessing
        if len(sources) <= most:
            yield np.stack([load_image(source, preprocessing) for source in sources])
            return
        for batch in decode_batches(sources, preprocessing, most, max_bad_share=0):
            yield batch.images

    def _run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One inference; a batch below the artifact's minimum is filled up with copies of its last image."""
        count, missing = len(images), self.artifact.target.batch.min - len(images)
        if missing > 0:
            images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        if self.manifest.input == "float32_nchw":
            images = normalize(images, self.manifest.preprocessing)
        with self._lock:
            logits, probabilities = self._backend.infer(images)
        return logits[:count], probabilities[:count]


def load(
    bundle: Bundle | str | Path,
    backend: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    device: str | None = None,
    *,
    name: str | None = None,
) -> Predictor:
    """Load one artifact of a bundle.

        with runtime.load("bundle") as predictor:
            print(predictor.predict("photo.jpg")[0].labels)

    Of the artifacts that match what is given, the first in the manifest's order that runs here.

    Args:
        bundle: an opened bundle, its folder or its .zip.
        backend: "onnxruntime", "openvino" or "tensorrt".
        precision: "fp32", "fp16" or "bf16".
        threads: intra-op threads, overriding the deploy config.
        device: the backend's device word, overriding the deploy config.
        name: the artifact's name.

    Raises:
        BundleError: nothing matches, a file was altered, or the library cannot load it.
        MissingDependencyError: no matching artifact's backend is available here; says why for each.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    opened.artifact(backend, precision, name)
    reasons = {}
    for artifact in opened.manifest.artifacts:
        wanted = zip((name, backend, precision), (artifact.name, artifact.backend, artifact.precision), strict=True)
        if not artifact.files or any(asked not in (None, found) for asked, found in wanted):
            continue
        kind = BACKENDS.get(artifact.backend)
        reason = kind.unavailable()
        if reason is None:
            try:
                return Predictor(opened, kind(opened, artifact, threads=threads, device=device))
            except MissingDependencyError as error:
                reason = str(error)
        reasons[artifact.name] = reason
    raise MissingDependencyError(" ".join(f"{artifact}: {reason}" for artifact, reason in reasons.items()))


def _as_list(images: Images) -> list[ImageSource]:
    return [images] if is_source(images) else list(images)
