"""Images with the original network's own logits: what every graph and artifact is compared with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..runtime.bundle import InputKind
from ..runtime.preprocess import normalize
from ..runtime.tensors import BatchRange
from .sources.base import Source

if TYPE_CHECKING:
    from ..distill.models import Classifier

_AT_LEAST = 8
_FORWARD_BATCH = 16
_BATCHES = (1, 2, 5)


@dataclass(frozen=True)
class Probes:
    """What is compared.

    Attributes:
        images: what the graph takes: uint8 (N, H, W, 3) or normalised float32 (N, 3, H, W).
        logits: the original network's, float32 (N, C).
        golden: how many of them, from the first on, are the golden images.
        further: the original network's optional outputs, float32 (N, ...), by name.
    """

    images: np.ndarray
    logits: np.ndarray
    golden: int = 0
    further: Mapping[str, np.ndarray] = field(default_factory=dict)

    def rows(self, allowed: BatchRange) -> Iterator[list[int]]:
        """All images in batches of 1, 2, 5, 5, ... as far as the artifact takes them: which image is where."""
        start, step = 0, 0
        while start < len(self.images):
            size = min(max(_BATCHES[min(step, len(_BATCHES) - 1)], allowed.min), allowed.max)
            end = min(start + size, len(self.images))
            # Modulo: a last batch below the allowed size is filled up from the first images.
            yield [row % len(self.images) for row in range(start, max(end, start + allowed.min))]
            start, step = end, step + 1


def make_probes(source: Source, images: np.ndarray, input: InputKind = "uint8_nhwc", golden: int = 0) -> Probes:
    """Probes from uint8 (N, H, W, 3) images, filled up with generated ones where they are few.

    Args:
        source: whose logits they get.
        images: resized, N may be 0.
        input: what the graph takes.
        golden: how many of them, from the first on, are the golden images.
    """
    preprocessing = source.card.preprocessing
    images = np.concatenate([images, generated_images(max(0, _AT_LEAST - len(images)), preprocessing.size)])
    logits = source.logits(images)
    pixels = images if input == "uint8_nhwc" else normalize(images, preprocessing)
    return Probes(pixels, logits, golden, source.further_outputs(images))


def framework_logits(model: "Classifier", images: np.ndarray) -> np.ndarray:
    """PyTorch's logits float32 (N, C) for uint8 (N, H, W, 3) RGB images."""
    import torch

    model.eval()
    with torch.inference_mode():
        batches = torch.tensor(images).split(_FORWARD_BATCH)
        return torch.cat([model(model.normalize(batch)).logits.float() for batch in batches]).numpy()


def generated_images(count: int, size: tuple[int, int]) -> np.ndarray:
    """Smooth colour noise uint8 (count, H, W, 3): nearer to photographs than white noise is."""
    height, width = size
    images = np.empty((count, height, width, 3), np.uint8)
    for image, coarse in zip(
        images, np.random.default_rng(0).integers(0, 256, (count, 6, 6, 3), np.uint8), strict=True
    ):
        image[:] = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return images
