"""Reduced decoding, for training: close to the full one, upright, and never below twice the target."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from edgedistill.distill.data.fast import load_fast
from edgedistill.runtime.errors import DataError
from edgedistill.runtime.images import scaled
from edgedistill.runtime.preprocess import Preprocessing, load, load_reduced


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 (H, W, 3): smooth shades, a disc with a hard edge, grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = rng.uniform((10, 1, 1, 0), (30, 12, 12, 6), (6, 3, 4))
    shades = sum(np.stack([a * np.sin(b * x + c * y + d) for a, b, c, d in wave], -1) for wave in waves)
    disc = 60 * ((x - 0.6) ** 2 + (y - 0.3) ** 2 < 0.04)[..., None]
    return (128 + shades + disc + rng.normal(0, 8, (height, width, 1))).clip(0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, orientation: int = 1, **options) -> bytes:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(stream, "JPEG", quality=90, exif=exif, **options)
    return stream.getvalue()


@pytest.mark.parametrize("resize", ["squash", "center_crop"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_photograph_is_close_and_upright(orientation, resize):
    source = jpeg(photograph(445, 613), orientation)  # odd sides: the last reduced pixel is a fraction
    for size in ((64, 64), (40, 64), (64, 24)):
        preprocessing = Preprocessing(size=size, resize=resize)
        full, reduced = (decode(source, preprocessing).astype(int) for decode in (load, load_reduced))
        assert reduced.shape == (*size, 3)
        difference = np.abs(full - reduced)
        assert 0 < difference.mean() < 0.4
        assert difference.max() <= 4


@settings(max_examples=60, deadline=None)
@given(
    stored=st.tuples(st.integers(20, 400), st.integers(20, 400)),
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    orientation=st.integers(1, 8),
    resize=st.sampled_from(["squash", "center_crop"]),
)
def test_as_little_as_allowed_is_decoded_and_never_less_than_twice_the_target(stored, size, orientation, resize):
    pixels, decoded_sizes = photograph(*stored), []
    original = JpegImagePlugin.JpegImageFile.load_prepare
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaled, "_simplejpeg", lambda: None)
        patch.setattr(
            JpegImagePlugin.JpegImageFile,
            "load_prepare",
            lambda image: decoded_sizes.append(image.size[::-1]) or original(image),
        )
        load_reduced(jpeg(pixels, orientation), Preprocessing(size=size, resize=resize))
    target = size[::-1] if orientation >= 5 else size
    room = min(full // (2 * wanted) for full, wanted in zip(stored, target, strict=True))
    scale = next(scale for scale in (8, 4, 2, 1) if scale <= max(1, room))
    assert decoded_sizes == [tuple(-(-full // scale) for full in stored)]


def test_a_grey_or_progressive_photograph_is_reduced_too(tmp_path):
    preprocessing, pixels = Preprocessing(size=(32, 32)), photograph(300, 400)
    grey = tmp_path / "grey.jpg"
    Image.fromarray(pixels).convert("L").save(grey)
    reduced = load_reduced(grey, preprocessing)
    assert (reduced == reduced[..., :1]).all()
    for source in (grey, jpeg(pixels, progressive=True), jpeg(pixels, subsampling="4:4:4")):
        difference = np.abs(load_reduced(source, preprocessing).astype(int) - load(source, preprocessing))
        assert 0 < difference.mean() < 0.4


def test_all_else_is_decoded_in_full(tmp_path):
    pixels = photograph(300, 400)
    png, small = tmp_path / "large.png", jpeg(photograph(127, 400))  # less than four times the target's height
    Image.fromarray(pixels).save(png)
    opened = Image.open(io.BytesIO(jpeg(pixels)))
    for source in (png, small, pixels, opened):
        preprocessing = Preprocessing(size=(32, 32))
        np.testing.assert_array_equal(load_reduced(source, preprocessing), load(source, preprocessing))
    assert opened.size == (400, 300)


# A tag that cannot be written back beside orientation 6; a block that is not TIFF; an orientation that is none.
UNWRITABLE = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHHHIII", 8, 2, 0x112, 3, 1, 6, 0, 0x128, 4, 1, 70000, 0)
BLOCKS = {"unwritable": (UNWRITABLE, True), "not TIFF": (b"Exif\0\0garbage!", False), "empty": (b"Exif\0\0", False)}


@pytest.mark.parametrize("kind", BLOCKS)
def test_odd_exif_means_what_it_means_on_the_device(kind):
    (block, turned), preprocessing = BLOCKS[kind], Preprocessing(size=(24, 32))
    stream = io.BytesIO()
    Image.fromarray(photograph(300, 400)).save(stream, "JPEG", quality=90, exif=block)
    plain = load_reduced(jpeg(photograph(300, 400)), Preprocessing(size=(32, 24) if turned else (24, 32)))
    found = load_reduced(stream.getvalue(), preprocessing)
    np.testing.assert_array_equal(found, np.rot90(plain, -1) if turned else plain)
    assert np.abs(found.astype(int) - load(stream.getvalue(), preprocessing)).max() <= 4


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.integers(0, 10**6) | st.none())
def test_what_is_damaged_for_the_device_is_damaged_for_training(place, value, cut):
    content = bytearray(jpeg(photograph(130, 140), 6))
    content[place % len(content)] = value
    content = bytes(content) if cut is None else bytes(content[: 1 + cut % len(content)])
    found = []
    for decode in (load, load_reduced):
        try:
            found.append(decode(content, Preprocessing(size=(16, 16))).shape)
        except DataError as error:  # noqa: PERF203
            found.append(str(error))
    assert found[0] == found[1]


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, io.BytesIO])
def test_every_encoded_source_is_reduced(wrap):
    data, preprocessing = jpeg(photograph(300, 400)), Preprocessing(size=(32, 32))
    np.testing.assert_array_equal(load_reduced(wrap(data), preprocessing), load_reduced(data, preprocessing))


def test_a_damaged_photograph_is_named(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(jpeg(photograph(300, 400))[:2000])
    for source, name in ((path, str(path)), (path.read_bytes(), "the image"), (b"text", "the image")):
        with pytest.raises(DataError) as caught:
            load_reduced(source, Preprocessing(size=(32, 32)))
        assert str(caught.value).startswith(f"{name}: cannot be decoded (")
    with pytest.raises(DataError, match=r"absent\.jpg: no such image\."):
        load_reduced(tmp_path / "absent.jpg", Preprocessing(size=(32, 32)))


@pytest.mark.parametrize("resize", ["squash", "center_crop"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_fast_way_is_upright_and_about_as_close_as_another_filter(orientation, resize):
    for size, sides in (((64, 64), (445, 613)), ((40, 64), (90, 130)), ((64, 24), (64, 24))):
        source = jpeg(photograph(*sides), orientation)
        preprocessing = Preprocessing(size=size, resize=resize)
        full, fast = (decode(source, preprocessing).astype(int) for decode in (load, load_fast))
        bicubic = load(source, Preprocessing(size=size, resize=resize, interpolation="bicubic")).astype(int)
        assert fast.shape == (*size, 3)
        assert np.abs(full - fast).mean() <= 2.2 * np.abs(full - bicubic).mean()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_fast_resize_is_pillows_to_a_level(tmp_path, interpolation):
    path, preprocessing = tmp_path / "a.png", Preprocessing(size=(48, 64), interpolation=interpolation)
    Image.fromarray(photograph(120, 200)).save(path)
    difference = np.abs(load(path, preprocessing).astype(int) - load_fast(path, preprocessing))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


def test_the_fast_way_decodes_no_more_than_covers_the_input(monkeypatch):
    sizes, original = [], JpegImagePlugin.JpegImageFile.load_prepare
    monkeypatch.setattr(scaled, "_simplejpeg", lambda: None)
    monkeypatch.setattr(
        JpegImagePlugin.JpegImageFile,
        "load_prepare",
        lambda image: sizes.append(image.size) or original(image),
    )
    for orientation in (1, 6):
        load_fast(jpeg(photograph(480, 640), orientation), Preprocessing(size=(224, 224)))
    load_fast(jpeg(photograph(480, 640)), Preprocessing(size=(241, 224)))
    load_fast(jpeg(photograph(480, 640), 6), Preprocessing(size=(100, 200)))
    assert sizes == [(320, 240), (320, 240), (640, 480), (320, 240)]
