"""A loaded artifact: images in, labels, scores, embeddings and explanations out."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Literal, cast

import numpy as np

from ..backends.base import Backend
from ..batches import SkippedImage
from ..bundle.records import Artifact, Manifest
from ..device import usable_cores
from ..errors import ConfigError, DataError
from ..explanation import Explanation
from ..images import scaled_decoder
from ..in_order import in_order
from ..preprocess import Decode, loader
from ..tensors import EMBEDDING, SALIENCY
from .chunks import Answered, Chunk, chunks
from .given import Images, each_image, is_one
from .inference import Inference
from .prediction import Prediction, called


class Predictor(Inference):
    """A loaded artifact. Close it, or use it in a `with` block, to free what its backend holds.

    One predictor may be shared by threads: each decodes its own images, and inferences run at once where the backend
    allows it (`Backend.concurrent`: onnxruntime does), else in turns.

    Args:
        manifest: classes, thresholds and preprocessing.
        artifact: what was loaded.
        backend: loaded; the predictor closes it.
        passed_over: why each artifact that would have come first was not taken, by name.
        decode: how encoded images are decoded: "full", or "reduced", which decodes a large JPEG at a fraction of its
            size as training does (`preprocess.load_reduced`).
        chosen: why this artifact, in a sentence; empty where there was nothing to choose.
    """

    def __init__(
        self,
        manifest: Manifest,
        artifact: Artifact,
        backend: Backend,
        passed_over: Mapping[str, str] | None = None,
        *,
        decode: Decode = "full",
        chosen: str = "",
    ) -> None:
        super().__init__(manifest, artifact, backend)
        self.passed_over = dict(passed_over or {})
        self.decode = decode
        self.chosen = chosen
        self._load = loader(decode)

    def __enter__(self) -> "Predictor":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.manifest.preprocessing.size
        state = ", closed" if self._closed else ""
        by = ", ".join(self.effective[key] for key in ("library", "providers", "device") if key in self.effective)
        return (
            f"<Predictor {self.artifact.name} of {self.manifest.name}: {len(self.classes)} classes, {height}x{width}, "
            f"{self.artifact.precision} by {by or self.artifact.backend}, images decoded {self.decoding}{state}>"
        )

    @property
    def decoding(self) -> str:
        """How images are decoded, in words: "in full", or "at reduced scale by ..."."""
        if self.decode == "full":
            return "in full"
        return f"at reduced scale by {scaled_decoder() or 'Pillow'}"

    def predict(self, images: Images) -> list[Prediction]:
        """Label one image or many.

        Args:
            images: one image as `runtime.images.open_image` takes it (a path, encoded bytes, an open binary file, an
                array, a Pillow image); a folder, for the images in it and below; an array (N, H, W, C) of images; a
                list, a generator or another iterable of images.

        Returns:
            One prediction per image, in order; a list of one for a single image.

        Raises:
            DataError: an image cannot be decoded; names it.
            BundleError: the model's outputs are not numbers, or the predictor is closed.
        """
        return [cast("Prediction", one) for answered in self._each(images) for one in self._predictions(answered)]

    def predict_stream(
        self,
        images: Images,
        *,
        batch_size: int | None = None,
        workers: int | None = None,
        bad: Literal["raise", "yield"] = "raise",
    ) -> Iterator["Prediction | SkippedImage"]:
        """Label any number of images, in order and in constant memory, while the next ones are decoded.

            for prediction in predictor.predict_stream("photographs"):
                print(prediction.source, prediction.labels)

        Each worker decodes and runs a batch at a time, and a few batches are taken ahead: of a slow source, such as a
        camera, each result comes as soon as its own image is done.

        Args:
            images: as of `predict`; a generator may be endless.
            batch_size: images per inference; default: on a CPU the artifact's typical number, on other devices its
                largest. It waits until it has so many.
            workers: threads that decode and run; default: one per core that this process may use. With fewer the model
                is not loaded a second time (docs/predict.md).
            bad: what an image that cannot be decoded does: "raise", in its turn, or "yield" a `SkippedImage` with its
                place, name and reason in place of its prediction.

        Raises:
            ConfigError: an impossible number or `bad`.
            DataError: an image cannot be decoded; names it.
            BundleError: the model's outputs are not numbers, or the predictor is closed.
        """
        if bad not in ("raise", "yield"):
            raise ConfigError(f"bad {bad!r}: one of raise, yield.")
        return (
            one
            for answered in self._each(images, batch_size, workers)
            for one in self._predictions(answered, skip=bad == "yield")
        )

    async def apredict(self, images: Images) -> list[Prediction]:
        """`predict` in another thread, so that an event loop goes on meanwhile."""
        import asyncio  # 7 MB, for those who have it anyway

        return await asyncio.to_thread(self.predict, images)

    def scores(self, images: Images) -> np.ndarray:
        """Probabilities float32 (N, C) of one image or many, for what `predict` takes.

        They are at the artifact's temperature, where it has an operating point of its own.

        Raises:
            DataError: an image cannot be decoded; names it.
            BundleError: the model's outputs are not numbers, or the predictor is closed.
        """
        if isinstance(images, np.ndarray) and images.ndim != 4:  # one: what a camera's loop asks, image by image
            self._require_open()
            return self._probabilities(self._infer(self._load(images, self.manifest.preprocessing)[None]))
        rows = [self._probabilities(answered.whole().outputs) for answered in self._each(images)]
        return _joined(rows, len(self.classes))

    def embed(self, images: Images) -> np.ndarray:
        """Embeddings float32 (N, D) of one image or many, for what `predict` takes.

        Raises:
            DataError: an image cannot be decoded; names it.
            BundleError: the bundle was exported without them, they are not numbers, or the predictor is closed.
        """
        self._require_open()
        spec = self._optional(EMBEDDING)
        rows = [self._sound(answered.whole().outputs[spec.name]) for answered in self._each(images)]
        return _joined(rows, int(spec.shape[1]))

    def explain(self, images: Images) -> list[Explanation]:
        """Where each class is seen, for what `predict` takes; in order, one for a single image.

        Raises:
            DataError: an image cannot be decoded; names it.
            BundleError: the bundle was exported without saliency, it is not numbers, or the predictor is closed.
        """
        self._require_open()
        spec = self._optional(SALIENCY)
        found: list[Explanation] = []
        for answered in self._each(images):
            answered.whole()
            rows = zip(self._sound(answered.outputs[spec.name]), self._probabilities(answered.outputs), strict=True)
            for maps, row in rows:
                source = called(answered.sources[len(found) - answered.first], len(found))
                found.append(Explanation(source=source, classes=self.classes, probabilities=row, maps=maps))
        return found

    def batch_size(self, asked: int | None = None) -> int:
        """Images of an inference where many are given: a CPU is kept busy by several at once, a GPU by large ones.

        Args:
            asked: in place of the artifact's typical number on a CPU, its largest on other devices.
        """
        batch = self.artifact.target.batch
        return max(batch.min, asked or (batch.typical if self._backend.device.lower() == "cpu" else batch.max))

    def _each(self, images: Images, batch_size: int | None = None, workers: int | None = None) -> Iterator[Answered]:
        """Decoded and run, in order; several at once in threads, each of which decodes and runs a chunk."""
        self._require_open()
        for what, number in (("batch_size", batch_size), ("workers", workers)):
            if number is not None and number < 1:
                raise ConfigError(f"{what} {number}: needs 1 or more.")
        if is_one(images):
            return iter([self._answer(Chunk(0, [images]))])  # type: ignore[list-item]
        size, threads = self.batch_size(batch_size), workers or usable_cores()

        def answer(chunk: Chunk) -> Answered:
            with self._side_by_side.batch(threads) as backend:
                return self._answer(chunk, backend)

        return in_order(answer, chunks(each_image(images), size), threads=threads, ahead=2 * threads, name="predict")

    def _answer(self, chunk: Chunk, backend: Backend | None = None) -> Answered:
        first, sources = chunk
        pixels: list[np.ndarray] = []
        problems: list[DataError | None] = []
        for source in sources:
            try:
                pixels.append(self._load(source, self.manifest.preprocessing))
                problems.append(None)
            except DataError as error:  # noqa: PERF203
                problems.append(error)
        if not pixels:
            return Answered(first, sources, problems, {})
        images = pixels[0][None] if len(pixels) == 1 else np.stack(pixels)
        return Answered(first, sources, problems, self._infer(images, backend))

    def _predictions(self, answered: Answered, *, skip: bool = False) -> Iterator["Prediction | SkippedImage"]:
        probabilities = iter(self._probabilities(answered.outputs) if answered.outputs else ())
        thresholds = self.manifest.thresholds_of(self.artifact)
        for place, (source, problem) in enumerate(
            zip(answered.sources, answered.problems, strict=True), start=answered.first
        ):
            name = called(source, place)
            if problem is None:
                yield Prediction(
                    source=name, classes=self.classes, thresholds=thresholds, probabilities=next(probabilities)
                )
            elif skip:
                yield SkippedImage.of(place, name, source, problem)
            else:
                raise problem


def _joined(parts: list[np.ndarray], columns: int) -> np.ndarray:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty((0, columns), np.float32)
