"""Images come upright, whatever else their EXIF holds."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import chunk, encoded, exif, picture, png
from PIL import Image

from edgedistill.runtime.preprocess import open_image

TURNED = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: pixels[::-1, ::-1],
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
PICTURE = picture()


def pixels(source) -> np.ndarray:
    return np.asarray(open_image(source))


def jpeg(block: bytes) -> bytes:
    return encoded(PICTURE, "JPEG", quality=95, exif=block)


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("order", "<>")
def test_every_format_is_turned(orientation, order):
    block = exif(orientation, order=order)
    sources = {
        "png": encoded(PICTURE, "PNG", exif=block),
        "webp": encoded(PICTURE, "WEBP", lossless=True, exif=block),
        "tiff": encoded(PICTURE, "TIFF", tiffinfo={274: orientation}),
        "compressed tiff": encoded(PICTURE, "TIFF", tiffinfo={274: orientation}, compression="tiff_lzw"),
    }
    for name, source in sources.items():
        np.testing.assert_array_equal(pixels(source), TURNED[orientation](PICTURE), err_msg=name)
    upright = pixels(jpeg(exif(1)))
    for source in (jpeg(block), jpeg(exif(orientation, order=order, kind=4))):
        np.testing.assert_array_equal(pixels(source), TURNED[orientation](upright))


def test_exif_behind_the_pixels_of_a_png_counts():
    rows = [row.tobytes() for row in PICTURE]
    late = png(rows, PICTURE.shape[1], 8, 2, after=chunk(b"eXIf", exif(6)[6:]))
    np.testing.assert_array_equal(pixels(late), TURNED[6](PICTURE))


def test_pixels_that_are_converted_are_turned_too():
    grey = Image.fromarray(PICTURE[..., 0])
    for image in (grey, grey.convert("RGBA"), grey.convert("P"), grey.convert("1", dither=Image.Dither.NONE)):
        expected = TURNED[8](pixels(encoded(image, "PNG")))
        np.testing.assert_array_equal(pixels(encoded(image, "PNG", exif=exif(8))), expected)


UNWRITABLE = struct.pack(">HHII", 0x128, 4, 1, 70000)  # a SHORT by the standard, whose value fits into none


def test_a_tag_that_cannot_be_written_back_is_no_fault():
    plain, block = pixels(jpeg(exif(1))), exif(6, more=UNWRITABLE, entries=1)
    np.testing.assert_array_equal(pixels(jpeg(block)), TURNED[6](plain))


MEANINGLESS = {
    "not TIFF": b"Exif\0\0garbage!",
    "empty": b"Exif\0\0",
    "zero": exif(0),
    "nine": exif(9),
    "a long beyond 16 bits": exif(0x60006, kind=4),
    "text": exif(0x3600, kind=2, count=1),
    "a list": exif(6, count=2),
    "an empty list": exif(6, count=0),
    "signed": exif(6, kind=8),
    "bytes": exif(0x0600, kind=1),
    "cut off": exif(6)[:20],
    "ends in the directory": exif(6)[:12],
    "a directory far away": b"Exif\0\0MM\0*" + struct.pack(">I", 1 << 31),
    "BigTIFF": b"Exif\0\0MM\0+" + exif(6)[10:],
}


@pytest.mark.parametrize("kind", MEANINGLESS)
def test_exif_without_a_meaning_leaves_the_image_as_it_is(kind):
    block = MEANINGLESS[kind]
    np.testing.assert_array_equal(pixels(jpeg(block)), pixels(jpeg(exif(1))))
    np.testing.assert_array_equal(pixels(encoded(PICTURE, "PNG", exif=block)), PICTURE)


def test_orientation_in_xmp_is_ignored():
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    segment = b"http://ns.adobe.com/xap/1.0/\0" + packet
    plain = jpeg(exif(1))
    with_xmp = plain[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment + plain[2:]
    np.testing.assert_array_equal(pixels(with_xmp), pixels(plain))
    np.testing.assert_array_equal(pixels(encoded(PICTURE, "TIFF", tiffinfo={700: packet})), PICTURE)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_no_exif_makes_an_image_unreadable(block, headed):
    block = (exif(1)[:14] if headed else b"Exif\0\0") + block
    source = encoded(PICTURE, "PNG", exif=block)
    found = pixels(source)
    assert any(np.array_equal(found, turn(PICTURE)) for turn in TURNED.values())


def test_what_was_turned_is_not_turned_again(tmp_path):
    once = open_image(encoded(PICTURE, "PNG", exif=exif(6)))
    np.testing.assert_array_equal(open_image(once), once)
    once.save(tmp_path / "saved.png")
    np.testing.assert_array_equal(pixels(tmp_path / "saved.png"), once)


def test_an_opened_pillow_image_is_turned_by_its_own_exif():
    for kind, options in (("PNG", {"exif": exif(5)}), ("TIFF", {"tiffinfo": {274: 5}})):
        opened = Image.open(io.BytesIO(encoded(PICTURE, kind, **options)))
        np.testing.assert_array_equal(pixels(opened), TURNED[5](PICTURE))
        np.testing.assert_array_equal(pixels(opened), TURNED[5](PICTURE))
