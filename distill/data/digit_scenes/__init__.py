"""Digit scenes: the built-in multi-label data. Real handwriting in synthetic scenes, made from a seed, no files.

A scene holds 1 to 6 of 20 classes, each a handwritten digit drawn solid or as an outline, among clutter. Colours say
nothing about the class. Which classes meet is designed (see `themes`): four themes, each with a pair that is nearly
always together and two satellites that meet through a hub. One digit in seven is "difficult": small or occluded.
The handwriting is split between train and test, so no glyph is seen in both.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, cast

import msgspec
import numpy as np

from ....runtime.datasets.base import FORMATS, UNKNOWN, Dataset, DatasetFormat
from ....runtime.preprocess import ImageSource
from .paint import paint
from .shapes import Split, glyphs
from .themes import CLASSES, THEMES, Theme, sample_labels, sample_one_label

__all__ = ["CLASSES", "THEMES", "DigitScenes", "Scenes", "Theme", "generate"]

_CHUNK = 250  # scenes per random stream: the first n scenes do not depend on how many are made
_STREAM = {"train": 0, "test": 1}


class Scenes(NamedTuple):
    """Generated scenes.

    Attributes:
        images: uint8 (N, size, size, 3) RGB, one contiguous array.
        labels: bool (N, 20), what is in the scene, difficult or not.
        difficult: bool (N, 20), the labels whose digit is small or occluded.
    """

    images: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray


Labels = Literal["themes", "one"]


def generate(split: Split, images: int, size: int = 64, seed: int = 0, labels: Labels = "themes") -> Scenes:
    """Make scenes: the same bytes for the same arguments on every machine.

    Args:
        split: which handwriting, and which random stream.
        images: how many scenes; a larger number continues a smaller one.
        size: height and width in pixels; the same seed gives the same layout at every size.
        seed: any non-negative integer.
        labels: what a scene holds: classes that `themes` brings together, or `one`, all equally often.

    Raises:
        MissingDependencyError: scikit-learn, which holds the handwriting, is not installed.
    """
    hands = glyphs(split)
    chunks = -(-images // _CHUNK)
    canvas = np.empty((chunks * _CHUNK, size, size, 3), dtype=np.uint8)
    present = np.empty((chunks * _CHUNK, len(CLASSES)), dtype=bool)
    difficult = np.empty_like(present)
    sample = sample_labels if labels == "themes" else sample_one_label
    for chunk in range(chunks):
        rng = np.random.default_rng([seed, _STREAM[split], chunk])
        part = slice(chunk * _CHUNK, (chunk + 1) * _CHUNK)
        present[part] = sample(rng, _CHUNK)
        difficult[part] = paint(rng, present[part], hands, canvas[part])
    return Scenes(canvas[:images], present[:images], difficult[:images])


@FORMATS.register("digit_scenes")
class DigitScenes(DatasetFormat):
    """Built-in scenes of handwritten digits, generated on the spot; needs no download.

    Attributes:
        split: "train" or "test"; they share no handwriting.
        images: how many scenes.
        size: height and width in pixels.
        seed: another seed, other scenes.
        difficult: what a small or occluded digit counts as: "positive", or "ignore" (unknown: in no loss, no metric).
        labels: "themes", 1 to 6 classes of which some meet more often than others, or "one" of them.
    """

    split: Split
    images: Annotated[int, msgspec.Meta(ge=1)] = 4000
    size: Annotated[int, msgspec.Meta(ge=32, le=1024)] = 64
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    difficult: Literal["positive", "ignore"] = "positive"
    labels: Labels = "themes"

    def read(self, base: Path) -> Dataset:
        """Generate the scenes; `base` plays no part. Raises MissingDependencyError without scikit-learn."""
        scenes = generate(self.split, self.images, self.size, self.seed, self.labels)
        labels = scenes.labels.astype(np.int8)
        if self.difficult == "ignore":
            labels[scenes.difficult] = UNKNOWN
        return Dataset(
            name=f"digit_scenes {self.split}",
            classes=CLASSES,
            ids=tuple(f"{self.split}-{self.seed}-{index:06d}" for index in range(self.images)),
            images=cast("Sequence[ImageSource]", scenes.images),  # an array of images is one of its own
            labels=labels,
            difficult=scenes.difficult,
        )
