"""JPEG at a fraction of its size: two decoders, the same pixels; what is not plain is left to the strict one."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgedistill.runtime.errors import DataError
from edgedistill.runtime.images import scaled
from edgedistill.runtime.images.plain_jpeg import plain_jpeg
from edgedistill.runtime.preprocess import Preprocessing, load, load_reduced

needs_simplejpeg = pytest.mark.skipif(scaled._simplejpeg() is None, reason="simplejpeg is not installed")
GOLDEN = Preprocessing(size=(24, 20))


def pixels(height=203, width=181):
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).copy()


def encoded(mode="RGB", orientation=1, image=None, **options):
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels() if image is None else image).convert(mode).save(stream, "JPEG", exif=exif, **options)
    return stream.getvalue()


@pytest.fixture
def by_pillow(monkeypatch):
    """Decode as where simplejpeg is not installed."""

    def decode(data, preprocessing):
        with monkeypatch.context() as patch:
            patch.setattr(scaled, "_simplejpeg", lambda: None)
            return load_reduced(data, preprocessing)

    return decode


PLAIN = {
    "4:2:0": {"subsampling": "4:2:0"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:4:4": {"subsampling": "4:4:4"},
    "grey": {"mode": "L"},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 2},
    "profile": {"icc_profile": b"x" * 3000},
    "comment": {"comment": b"a comment"},
    "turned": {"orientation": 6},
}


@needs_simplejpeg
@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("size", [(24, 20), (40, 60), (100, 90), (224, 224)])
def test_simplejpeg_gives_the_pixels_of_pillow(kind, size, by_pillow, monkeypatch):
    data, preprocessing = encoded(**PLAIN[kind]), Preprocessing(size=size)
    expected = by_pillow(data, preprocessing)
    monkeypatch.setattr(scaled, "opened", None)  # Pillow is not asked
    np.testing.assert_array_equal(load_reduced(data, preprocessing), expected)


@needs_simplejpeg
def test_at_full_size_the_pixels_are_those_of_the_strict_decoder():
    data, preprocessing = encoded(), Preprocessing(size=(150, 120))
    np.testing.assert_array_equal(load_reduced(data, preprocessing), load(data, preprocessing))


def cmyk():
    return encoded("CMYK")


def twice_exif():
    data = encoded(orientation=6)
    segment = data[data.index(b"\xff\xe1") :]
    segment = segment[: 2 + int.from_bytes(segment[2:4], "big")]
    return data[:2] + segment + data[2:]


def multi_picture():
    stream = io.BytesIO()
    Image.fromarray(pixels()).save(stream, "MPO", save_all=True, append_images=[Image.fromarray(pixels())])
    return stream.getvalue()


def rgb():
    """A JPEG of 4:4:4 whose components are called R, G and B, without a JFIF block to say otherwise."""
    data = encoded(subsampling="4:4:4")
    after_jfif = 4 + int.from_bytes(data[4:6], "big")
    data = bytearray(data[:2] + data[after_jfif:])
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for n, name in enumerate(b"RGB"):
        data[frame + 10 + 3 * n] = data[scan + 5 + 2 * n] = name
    return bytes(data)


NOT_PLAIN = {
    "CMYK": cmyk,
    "two EXIF blocks": twice_exif,
    "several pictures": multi_picture,
    "PNG": lambda: encoded()[:0] + _png(),
    "RGB": rgb,
}


def _png():
    stream = io.BytesIO()
    Image.fromarray(pixels()).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_the_strict_decoder(kind, by_pillow):
    data = NOT_PLAIN[kind]()
    assert plain_jpeg(data) is None
    np.testing.assert_array_equal(load_reduced(data, GOLDEN), by_pillow(data, GOLDEN))


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(2, 10**6))
def test_a_truncated_file_is_refused_wherever_it_ends(cut):
    data = encoded()
    with pytest.raises(DataError, match="the image: cannot be decoded"):
        load_reduced(data[: cut % (len(data) - 2)] or b"\xff", GOLDEN)


def test_a_file_that_is_too_large_is_for_pillow_to_refuse(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(DataError, match="too large"):
        load_reduced(encoded(), GOLDEN)


@pytest.mark.parametrize("size", [(48, 48), (64, 40)])
def test_reduced_is_within_its_stated_tolerance_of_full(size):
    """docs/images.md: 0.4 levels on average."""
    data, preprocessing = encoded(image=pixels(700, 900), quality=90), Preprocessing(size=size)
    difference = np.abs(load(data, preprocessing).astype(int) - load_reduced(data, preprocessing))
    assert 0 < difference.mean() < 0.4
    assert difference.max() <= 4
