"""Every kind of pixels against a formula in numpy."""

import colorsys
import struct

import numpy as np
import PIL
import pytest
from image_files import chunk, encoded, on_white, picture, png, tiff
from PIL import Image

from edgedistill.runtime.errors import DataError
from edgedistill.runtime.preprocess import Preprocessing, load, open_image

DEEP = (np.arange(12 * 20).reshape(12, 20) * 271 + 300).astype(np.uint16)  # 300 to 65069
PILLOW = tuple(int(part) for part in PIL.__version__.split(".")[:2])
GREY = (np.arange(256).reshape(16, 16)).astype(np.uint8)


def pixels(source) -> np.ndarray:
    image = open_image(source)
    assert image.mode == "RGB"
    return np.asarray(image)


def grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels[..., None], 3, axis=2)


def deep_files() -> dict:
    height, width = DEEP.shape
    lines = "\n".join(" ".join(map(str, row)) for row in DEEP)
    return {
        "png": encoded(DEEP, "PNG"),
        "tiff": encoded(DEEP, "TIFF"),
        "tiff, little": tiff(DEEP.astype("<u2").tobytes(), (width, height), 16),
        "tiff, big": tiff(DEEP.astype(">u2").tobytes(), (width, height), 16, order=">"),
        "tiff, deflate": encoded(DEEP, "TIFF", compression="tiff_adobe_deflate"),
        "pgm": f"P5 {width} {height} 65535\n".encode() + DEEP.astype(">u2").tobytes(),
        "plain pgm": f"P2 {width} {height} 65535\n{lines}\n".encode(),
        "Pillow": Image.fromarray(DEEP),
        "Pillow, big": Image.frombytes("I;16B", (width, height), DEEP.astype(">u2").tobytes()),
        "Pillow, little": Image.frombytes("I;16L", (width, height), DEEP.astype("<u2").tobytes()),
        "array": DEEP,
        "array, big": DEEP.astype(">u2"),
    }


@pytest.mark.parametrize("kind", deep_files())
def test_16_bit_grey_keeps_its_upper_8_bits(kind):
    np.testing.assert_array_equal(pixels(deep_files()[kind]), grey((DEEP >> 8).astype(np.uint8)))


def test_the_gradient_of_the_fault_report_is_a_gradient():
    gradient = np.tile(np.linspace(2000, 65535, 96).astype(np.uint16), (96, 1))
    found = load(encoded(gradient, "PNG"), Preprocessing(size=(96, 96)))
    assert (found.min(), found.max()) == (7, 255)
    np.testing.assert_array_equal(found[..., 0], gradient >> 8)


def test_16_bit_colours_and_alpha_keep_their_upper_8_bits():
    rng = np.random.default_rng(0)
    for colour_type, channels in ((2, 3), (4, 2), (6, 4)):
        deep = rng.integers(0, 65536, (5, 7, channels), np.uint16)
        found = pixels(png([row.astype(">u2").tobytes() for row in deep], 7, 16, colour_type))
        upper = (deep >> 8).astype(np.uint8)
        colours = upper if channels == 3 else on_white(upper[..., :-1], upper[..., -1:])
        np.testing.assert_array_equal(found, np.broadcast_to(colours, (5, 7, 3)))


def test_12_bit_grey_keeps_its_upper_8_bits():
    values = (np.arange(24).reshape(4, 6) * 171).astype(np.int64)
    pairs = values.reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    found = pixels(tiff(packed.astype(np.uint8).tobytes(), (6, 4), 12))
    np.testing.assert_array_equal(found, grey((values >> 4).astype(np.uint8)))


def test_a_tiff_whose_white_is_zero_is_no_negative():
    height, width = DEEP.shape
    deep = tiff((65535 - DEEP).astype("<u2").tobytes(), (width, height), 16, photometric=0)
    np.testing.assert_array_equal(pixels(deep), grey((DEEP >> 8).astype(np.uint8)))
    eight = tiff((255 - GREY).tobytes(), (16, 16), 8, photometric=0)
    np.testing.assert_array_equal(pixels(eight), grey(GREY))


def test_netpbm_is_scaled_from_its_maximum():
    row = np.array([0, 1, 7, 15])
    text = " ".join(map(str, row))
    expected = grey(np.floor(row / 15 * 255 + 0.5).astype(np.uint8)[None])
    np.testing.assert_array_equal(pixels(f"P2 4 1 15 {text}\n".encode()), expected)
    np.testing.assert_array_equal(pixels(b"P5 4 1 15\n" + bytes(row.tolist())), expected)
    deep = np.array([[0, 511, 1000]])
    np.testing.assert_array_equal(
        pixels(b"P5 3 1 1000\n" + deep.astype(">u2").tobytes()), grey(np.round(deep / 1000 * 65535).astype(int) >> 8)
    )
    colours = np.array([0x01FF, 0x8000, 0xFFFF])  # 16-bit colours are scaled to 8 bits at once
    found = pixels(b"P6 1 1 65535\n" + colours.astype(">u2").tobytes())
    assert found.reshape(-1).tolist() == np.round(colours / 65535 * 255).astype(int).tolist()


def test_floats_in_0_to_1_are_scaled_and_rounded():
    values = np.linspace(0, 1, 12 * 20, dtype=np.float32).reshape(12, 20)
    expected = grey(np.floor(values.astype(np.float64) * 255 + 0.5).astype(np.uint8))
    pfm = b"Pf\n20 12\n-1.0\n" + values[::-1].astype("<f4").tobytes()  # PFM begins at the bottom
    portable = [pfm] if PILLOW >= (10, 3) else []  # which reads it since
    for source in (encoded(values, "TIFF"), Image.fromarray(values), values, *portable):
        np.testing.assert_array_equal(pixels(source), expected)
    assert expected.min() == 0
    assert expected.max() == 255


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([0, 255], "from 0 to 255"),
        ([-0.001, 1], "from -0.001 to 1"),
        ([0, 1.01], "from 0 to 1.01"),
        ([0.5, np.nan], "nan"),
        ([0, np.inf], "inf"),
        ([200.0, 200.0], "from 200 to 200"),
    ],
)
def test_floats_beyond_0_to_1_are_refused(values, named):
    array = np.array([values], np.float32)
    for source in (encoded(array, "TIFF"), Image.fromarray(array), array):
        with pytest.raises(DataError, match=rf"\[0, 1\].*{named}"):
            open_image(source)


def test_floats_whose_white_is_zero_are_refused():
    with pytest.raises(DataError, match="white is 0"):
        open_image(tiff(np.array([[0.25, 1]], "<f4").tobytes(), (2, 1), 32, kind=3, photometric=0))


def test_integers_without_a_defined_white_are_refused():
    wide = np.array([[0, 70000]], np.int32)
    signed = tiff(np.array([[-5, 5]], "<i2").tobytes(), (2, 1), 16, kind=2)
    unsigned = tiff(np.array([[0, 5]], "<u4").tobytes(), (2, 1), 32)
    small = tiff(np.array([[-5, 5]], "i1").tobytes(), (2, 1), 8, kind=2)
    pillow = (Image.fromarray(wide), Image.new("I", (2, 2), 255))
    for source in (encoded(wide, "TIFF"), signed, unsigned, small, *pillow):
        with pytest.raises(DataError, match="integers have no defined white"):
            open_image(source)


def test_lab_is_refused_by_name():
    with pytest.raises(DataError, match="mode LAB"):
        open_image(Image.new("LAB", (2, 2)))
    with pytest.raises(DataError, match="mode LAB"):
        open_image(encoded(Image.new("LAB", (2, 2)), "TIFF"))


def test_straight_alpha_is_composited_on_white():
    values, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    expected = grey(on_white(values, alpha))
    rgba = np.dstack([values, values, values, alpha])
    two = np.dstack([values, alpha])
    for source in (
        rgba,
        encoded(rgba, "PNG"),
        encoded(rgba, "TIFF"),
        encoded(Image.fromarray(two, "LA"), "PNG"),
        encoded(rgba, "WEBP", lossless=True, exact=True),
        Image.fromarray(two, "LA"),
    ):
        np.testing.assert_array_equal(pixels(source), expected)


def test_what_hides_below_full_transparency_does_not_show():
    hidden = np.zeros((4, 4, 4), np.uint8)
    assert (pixels(encoded(hidden, "PNG")) == 255).all()


def test_alpha_that_is_multiplied_in_is_divided_out_first():
    premultiplied, alpha = np.meshgrid(np.arange(256), np.arange(256))
    premultiplied = np.minimum(premultiplied, alpha)
    straight = np.where(alpha > 0, 255 * premultiplied // np.maximum(alpha, 1), 0)
    expected = on_white(straight, alpha)
    four = np.dstack([premultiplied] * 3 + [alpha]).astype(np.uint8)
    rgba = Image.frombytes("RGBa", (256, 256), four.tobytes())
    grey_alpha = Image.merge("LA", [Image.fromarray(band.astype(np.uint8)) for band in (straight, alpha)]).convert("La")
    np.testing.assert_array_equal(pixels(rgba), grey(expected))
    assert np.abs(pixels(grey_alpha).astype(int) - grey(expected)).max() <= 1  # rounded once more by `convert`


def test_a_palette_with_transparent_entries():
    rng = np.random.default_rng(1)
    palette, alphas = rng.integers(0, 256, (200, 3), np.uint8), rng.integers(0, 256, 150, np.uint8)
    indices = rng.integers(0, 200, (9, 11)).astype(np.uint8)
    straight = palette[indices]
    full = np.concatenate([alphas, np.full(50, 255, np.uint8)])[indices]
    colours, transparency = chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", alphas.tobytes())
    rows = [row.tobytes() for row in indices]
    np.testing.assert_array_equal(pixels(png(rows, 11, 8, 3, colours)), straight)
    expected = on_white(straight, full[..., None])
    found = open_image(png(rows, 11, 8, 3, colours, transparency))
    np.testing.assert_array_equal(found, expected)
    opened = Image.fromarray(indices, "P")
    opened.putpalette(palette.tobytes())
    opened.info["transparency"] = alphas.tobytes()
    np.testing.assert_array_equal(pixels(opened), expected)
    assert opened.info["transparency"] == alphas.tobytes()  # the caller's image is as it was
    assert opened.getpalette() == palette.reshape(-1).tolist()
    opened.info["transparency"] = int(indices[3, 4])
    hole = (indices == indices[3, 4])[..., None]
    np.testing.assert_array_equal(pixels(opened), np.where(hole, 255, straight))
    with_alpha = Image.merge("PA", [Image.fromarray(indices), Image.fromarray(full)])
    with_alpha.putpalette(palette.tobytes())
    np.testing.assert_array_equal(pixels(with_alpha), expected)


def test_an_index_beyond_the_palette_is_black():
    found = pixels(png([bytes([0, 1, 7])], 3, 8, 3, chunk(b"PLTE", bytes([9, 8, 7, 6, 5, 4]))))
    assert found.tolist() == [[[9, 8, 7], [6, 5, 4], [0, 0, 0]]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_png_s_transparent_grey_is_in_the_file_s_own_levels(bits):
    levels = np.arange(2**bits) if bits < 8 else np.arange(256)
    packed = np.packbits(np.unpackbits(levels.astype(np.uint8)[:, None], axis=1)[:, -bits:].reshape(-1)).tobytes()
    scale = 255 // (2**bits - 1)
    for key in {0, 1, 2**bits - 1}:
        found = pixels(png([packed], len(levels), bits, 0, chunk(b"tRNS", struct.pack(">H", key))))
        expected = np.where(levels == key, 255, levels * scale)
        np.testing.assert_array_equal(found[0, :, 0], expected)


def test_a_transparent_16_bit_grey_is_compared_in_16_bits():
    row = np.array([0x1200, 0x1234, 0x12FF], ">u2")
    found = pixels(png([row.tobytes()], 3, 16, 0, chunk(b"tRNS", struct.pack(">H", 0x1234))))
    assert found[0, :, 0].tolist() == [0x12, 255, 0x12]


def test_a_transparent_colour():
    image = picture()
    key = struct.pack(">HHH", *map(int, image[2, 3]))
    rows = [row.tobytes() for row in image]
    hole = (image == image[2, 3]).all(axis=2, keepdims=True)
    found = pixels(png(rows, image.shape[1], 8, 2, chunk(b"tRNS", key)))
    np.testing.assert_array_equal(found, np.where(hole, 255, image))
    deep = [row.astype(">u2").tobytes() for row in image]
    with pytest.raises(DataError, match=r"tRNS.*16-bit"):
        open_image(png(deep, image.shape[1], 16, 2, chunk(b"tRNS", key)))


@pytest.mark.parametrize(("mode", "key"), [("RGB", b"abc"), ("RGB", 3), ("L", (1, 2)), ("P", (1, 2, 3)), ("CMYK", 3)])
def test_a_transparent_colour_that_means_nothing_is_refused(mode, key):
    image = Image.new(mode, (2, 2))
    image.info["transparency"] = key
    with pytest.raises(DataError, match="not understood"):
        open_image(image)


def test_bilevel_is_black_and_white():
    bits = np.indices((6, 9)).sum(0) % 3 == 0
    expected = grey(np.where(bits, 255, 0).astype(np.uint8))
    image = Image.fromarray(bits)
    for source in (image, encoded(image, "PNG"), encoded(image, "BMP"), encoded(image, "TIFF"), encoded(image, "PPM")):
        np.testing.assert_array_equal(pixels(source), expected)
    np.testing.assert_array_equal(pixels(encoded(image, "TIFF", compression="group4")), expected)


def test_cmyk_is_taken_as_ink_on_paper():
    rng = np.random.default_rng(2)
    inks = rng.integers(0, 256, (30, 30, 4), np.uint8)
    paper = 255 - inks[..., 3:].astype(np.int64)
    expected = paper - np.floor(inks[..., :3] * paper / 255 + 0.5)
    image = Image.frombytes("CMYK", (30, 30), inks.tobytes())
    for source in (image, encoded(image, "TIFF")):
        np.testing.assert_array_equal(pixels(source), expected)
    even = Image.new("CMYK", (16, 16), (40, 80, 120, 30))
    assert np.abs(pixels(encoded(even, "JPEG", quality=100)).astype(int) - pixels(even)).max() <= 2


def test_ycbcr_is_that_of_jfif():
    values = np.random.default_rng(3).integers(0, 256, (30, 30, 3), np.uint8)
    y, cb, cr = np.moveaxis(values.astype(np.float64), 2, 0)
    rgb = np.stack(
        [y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128), y + 1.772 * (cb - 128)], 2
    )
    assert np.abs(pixels(Image.frombytes("YCbCr", (30, 30), values.tobytes())) - rgb.clip(0, 255)).max() <= 1


def test_hsv_and_padded_rgb():
    values = np.random.default_rng(4).integers(0, 256, (8, 8, 3), np.uint8)
    expected = [colorsys.hsv_to_rgb(*(value / 255)) for value in values.reshape(-1, 3)]
    found = pixels(Image.frombytes("HSV", (8, 8), values.tobytes())).reshape(-1, 3)
    assert np.abs(found - 255 * np.array(expected)).max() <= 2
    padded = np.dstack([values, np.zeros((8, 8), np.uint8)])
    np.testing.assert_array_equal(pixels(Image.frombytes("RGBX", (8, 8), padded.tobytes())), values)


def test_colour_profiles_are_ignored():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image = picture()
    for kind in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        np.testing.assert_array_equal(pixels(encoded(image, kind, icc_profile=profile, **options)), image)


def test_decoding_what_was_decoded_changes_nothing():
    for source in (encoded(picture(), "PNG"), encoded(DEEP, "PNG"), Image.new("RGBA", (3, 3), (9, 9, 9, 90))):
        once = open_image(source)
        assert open_image(once) is once
