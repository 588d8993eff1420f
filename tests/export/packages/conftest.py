"""What the tests of apps for phones share: the apps, and images that Python resizes and another language too."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime.bundle import Bundle, open_bundle
from edgedistill.runtime.preprocess import Preprocessing, resize

PILLOW = int(Image.__version__.split(".")[0])


@pytest.fixture(scope="session")
def generated(tiny_bundle, command, tmp_path_factory) -> Callable[[str], Path]:
    """The app of a kind for the tiny bundle, made by the command line; made once, do not write into it."""

    @cache
    def make(kind: str) -> Path:
        place = tmp_path_factory.mktemp(kind) / "app"
        code, _, err = command("app", kind, tiny_bundle, "-o", place)
        assert code == 0, err
        return place

    return make


@pytest.fixture(scope="session")
def odd_name() -> str:
    """A name that is hard to write in any language."""
    return 'Müller\'s "best" <class> $net\\ & 100 % {{name}} 日本'


@pytest.fixture
def named(tiny_bundle, odd_name) -> Bundle:
    """The tiny bundle under that name."""
    opened = open_bundle(tiny_bundle)
    return Bundle(opened.storage, msgspec.structs.replace(opened.manifest, name=odd_name), opened.manifest_bytes)


@dataclass(frozen=True)
class ResizeCase:
    """An image uint8 (H, W, 3), and what Python makes of it."""

    image: np.ndarray
    preprocessing: Preprocessing

    @property
    def wanted(self) -> np.ndarray:
        return resize(Image.fromarray(self.image), self.preprocessing)


@pytest.fixture(scope="session")
def resize_cases() -> list[ResizeCase]:
    """Random sizes, enlarged, shrunk and kept, in each way; noise, whose neighbours differ most."""
    rng = np.random.default_rng(7)
    cases = []
    for i in range(120):
        stored, target = rng.integers(1, 120, 2), rng.integers(1, 48, 2)
        if i % 10 == 0:
            stored[i // 10 % 2] = target[i // 10 % 2]
        preprocessing = Preprocessing(
            size=(int(target[0]), int(target[1])),
            resize=("squash", "center_crop")[i % 2],
            interpolation=("bilinear", "bicubic")[i // 2 % 2],
        )
        cases.append(ResizeCase(rng.integers(0, 256, (*stored, 3), dtype=np.uint8), preprocessing))
    large = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    cases += [ResizeCase(large, Preprocessing(size=(224, 224), resize=how)) for how in ("squash", "center_crop")]
    return cases


@pytest.fixture(scope="session")
def make_case() -> Callable[[np.ndarray, dict], ResizeCase]:
    """Of an image uint8 (H, W, 3) and `preprocessing` as a manifest has it."""
    return lambda image, preprocessing: ResizeCase(image, msgspec.convert(preprocessing, Preprocessing))


@pytest.fixture(scope="session")
def compare_resized() -> Callable[[list[ResizeCase], list[np.ndarray]], None]:
    """Identical to Pillow's; before version 13 it never went down before it went across."""

    def compare(cases: list[ResizeCase], given: list[np.ndarray]) -> None:
        assert len(given) == len(cases)
        for case, got in zip(cases, given, strict=True):
            assert got.shape == case.wanted.shape
            difference = np.abs(got.astype(int) - case.wanted)
            # Bicubic overshoots, and what the first pass clips depends on its direction.
            before_13 = 1 if case.preprocessing.interpolation == "bilinear" else 24
            assert difference.max() <= (0 if PILLOW >= 13 else before_13), case.preprocessing

    return compare
