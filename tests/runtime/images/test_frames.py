"""Files with several pictures, and pictures of unusual sizes."""

import io
import struct

import numpy as np
import pytest
from image_files import chunk, encoded, picture
from PIL import GifImagePlugin, Image, ImageOps, features

from edgedistill.runtime.errors import DataError
from edgedistill.runtime.preprocess import Preprocessing, load, open_image

FIRST, SECOND = picture(seed=1), picture(seed=2)[::-1]


def pixels(source) -> np.ndarray:
    return np.asarray(open_image(source))


def two(kind: str, **options) -> bytes:
    return encoded(FIRST, kind, save_all=True, append_images=[Image.fromarray(SECOND)], **options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("PNG", {"default_image": True}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("MPO", {"quality": 95}),
    ],
)
def test_the_first_picture_counts(kind, options):
    alone = encoded(FIRST, "JPEG", quality=95) if kind == "MPO" else FIRST
    np.testing.assert_array_equal(pixels(two(kind, **options)), pixels(alone))


def test_a_transparent_first_frame_is_composited():
    clear = np.dstack([FIRST, np.full(FIRST.shape[:2], 128, np.uint8)])
    clear[:4, :, 3] = 0
    still = pixels(clear)
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        moving = encoded(clear, kind, save_all=True, append_images=[Image.fromarray(SECOND)], **options)
        np.testing.assert_array_equal(pixels(moving), still)


COLOURS = np.array([[10, 20, 30], [200, 100, 50], [0, 255, 0], [90, 90, 90]], np.uint8)
INDICES = np.indices((10, 14)).sum(0).astype(np.uint8) % 4


def gif(transparency: int | None = None, **options) -> bytes:
    image = Image.fromarray(INDICES, "P")
    image.putpalette(COLOURS.tobytes())
    keyed = {} if transparency is None else {"transparency": transparency}
    return encoded(image, "GIF", optimize=False, **keyed, **options)


@pytest.mark.parametrize("strategy", list(GifImagePlugin.LoadingStrategy))
@pytest.mark.parametrize("transparency", [None, 0, 2])
def test_a_gif_s_first_frame_whatever_pillow_is_asked_for(monkeypatch, strategy, transparency):
    monkeypatch.setattr(GifImagePlugin, "LOADING_STRATEGY", strategy)
    expected = COLOURS[INDICES]
    if transparency is not None:
        expected = np.where((transparency == INDICES)[..., None], 255, expected)
    other = Image.fromarray(INDICES[::-1], "P")
    other.putpalette(COLOURS.tobytes())
    for source in (gif(transparency), gif(transparency, save_all=True, append_images=[other])):
        np.testing.assert_array_equal(pixels(source), expected)


@pytest.mark.parametrize("transparency", [None, 0])
def test_what_a_gif_s_first_frame_leaves_free_is_white(transparency):
    data = bytearray(gif(transparency))
    struct.pack_into("<HH", data, 6, 20, 17)  # the canvas; the frame stays 14 x 10
    place = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", 14, 10))
    struct.pack_into("<HH", data, place + 1, 4, 5)
    expected = np.full((17, 20, 3), 255)
    expected[5:15, 4:18] = pixels(gif(transparency))
    np.testing.assert_array_equal(pixels(bytes(data)), expected)


def test_the_largest_picture_of_an_icon_counts():
    image = Image.fromarray(picture(64, 64))
    icon = encoded(image, "ICO", sizes=[(16, 16), (64, 64), (32, 32)])
    np.testing.assert_array_equal(pixels(icon), image)


@pytest.mark.skipif(not features.modules.get("avif") or not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif():
    found = pixels(encoded(FIRST, "AVIF", quality=100, subsampling="4:4:4"))
    assert np.abs(found.astype(int) - FIRST).max() <= 3


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", ["squash", "center_crop"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40000), (40000, 1), (2, 30000), (1, 3)])
def test_strips_and_single_pixels(shape, resize, interpolation):
    strip = np.full((*shape, 3), (10, 200, 90), np.uint8)
    for size in ((1, 1), (224, 224), (8, 64), (64, 8), (1, 50)):
        found = load(strip, Preprocessing(size=size, resize=resize, interpolation=interpolation))
        assert found.shape == (*size, 3)
        assert (found == (10, 200, 90)).all()


def test_center_crop_takes_the_middle_of_a_strip():
    strip = np.zeros((1, 40001, 3), np.uint8)
    strip[0, 19999:20002] = 255  # the filter reads a pixel beyond the cut
    assert (load(strip, Preprocessing(size=(4, 4), resize="center_crop")) == 255).all()


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_no_pixels_are_no_image(size):
    with pytest.raises(DataError, match=rf"{size[0]} x {size[1]} pixels"):
        open_image(Image.new("RGB", size))


def bomb(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    struct.pack_into(">II", data, 16, width, height)
    return bytes(data[:8]) + chunk(b"IHDR", bytes(data[16:29])) + bytes(data[33:])


@pytest.mark.parametrize("limit", [None, 10**12, Image.MAX_IMAGE_PIXELS])
def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=r"300000000 pixels|20000 x 15000 pixels are more than the allowed 178956970"):
        open_image(bomb(20000, 15000))


def test_an_app_s_lower_limit_holds(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    with pytest.raises(DataError, match="140 pixels"):
        open_image(encoded(picture(), "PNG"))


def test_resizing_is_pillow_s():
    image = Image.fromarray(picture(50, 70))
    for name, method in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        found = load(image, Preprocessing(size=(16, 24), interpolation=name))
        np.testing.assert_array_equal(found, image.resize((24, 16), method))
        found = load(image, Preprocessing(size=(16, 24), interpolation=name, resize="center_crop"))
        np.testing.assert_array_equal(found, ImageOps.fit(image, (24, 16), method))


def test_formats_that_are_not_read_are_named_as_unknown():
    for kind in ("EPS", "PDF", "PCX", "TGA", "SGI"):
        with pytest.raises(DataError, match="not an image of a known format"):
            open_image(io.BytesIO(encoded(FIRST, kind)))
