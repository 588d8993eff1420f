"""Make the golden images and golden.json, the pixels that they stand for.

    python docs/golden_images/make.py            # the expected pixels of the images that are here
    python docs/golden_images/make.py --images   # the images too; another version of Pillow may encode them differently

docs/images.md says what each part of golden.json means. tests/runtime/images/test_golden.py holds the decoder to it.
"""

import argparse
import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgedistill.runtime.images import RULES
from edgedistill.runtime.preprocess import Preprocessing, load, open_image

FOLDER = Path(__file__).parent
SIZES = ((24, 24), (17, 31), (32, 20))
RESIZED = ("photo_wide.png", "photo_tall.png", "photo_small.png")
# By kind of file: how far another decoder's pixels may be from these, in levels; docs/images.md has the measurements.
TOLERANCES = {
    "lossless": {"max": 0, "mean": 0},
    "jpeg": {"max": 2, "mean": 0.6},
    "jpeg_420": {"max": 4, "mean": 1},
    "webp_lossy": {"max": 4, "mean": 1},
    "resized": {"max": 2, "mean": 0.3},
}
REFUSED = {
    "truncated.jpg": "the last quarter is missing",
    "truncated.png": "the last quarter is missing",
    "float_to_255.tif": "floating-point values beyond [0, 1]",
    "integers.tif": "signed 32-bit integers, which have no defined white",
    "text.jpg": "no image",
}


def photograph(height: int, width: int, seed: int) -> np.ndarray:
    """uint8 (H, W, 3): shades, a disc with a hard edge, fine stripes, grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    shades = np.stack([200 * x + 30, 190 * y + 20, 120 + 100 * np.sin(9 * x + 7 * y)], -1)
    shades[(x - 0.55) ** 2 + (y - 0.3) ** 2 < 0.04] = (230, 60, 40)
    stripes = (np.indices((height, width)).sum(0) % 2)[..., None] * 90 * (x < 0.25)[..., None]
    return (shades + stripes + rng.normal(0, 5, shades.shape)).clip(0, 255).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    """An image file's bytes."""
    stream = io.BytesIO()
    fresh = Image.fromarray(image) if isinstance(image, np.ndarray) else image.copy()  # saving leaves marks on an image
    fresh.save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: np.ndarray, bits: int, colour_type: int, *chunks: bytes) -> bytes:
    """A PNG as Pillow does not write them; `rows` (H, W) or (H, W, C) unsigned, of `bits` each."""
    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, colour_type, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in rows)
    parts = (png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(lines, 9)), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def exif(orientation: int, more: bytes = b"") -> bytes:
    """An EXIF block with an orientation, and perhaps one more directory entry."""
    entries = struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0) + more
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries) // 12) + entries + bytes(4)


def partial_gif(image: Image.Image) -> bytes:
    """A GIF whose first frame leaves a margin of its canvas free."""
    data = bytearray(encoded(image, "GIF"))
    place = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", *image.size))
    struct.pack_into("<HH", data, 6, image.width + 6, image.height + 5)
    struct.pack_into("<HH", data, place + 1, 4, 2)
    return bytes(data)


RGB = photograph(18, 24, 4)
IMAGE, OTHER = Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())
GREY, PALETTE = IMAGE.convert("L"), IMAGE.quantize(16)
ALPHA = np.linspace(0, 255, 18 * 24).reshape(18, 24).astype(np.uint8)
RGBA = np.dstack([RGB, ALPHA])
DEEP = np.linspace(300, 65300, 18 * 24).reshape(18, 24).astype(np.uint16)


def two(kind: str, second: Image.Image = OTHER) -> dict[str, Any]:
    """Options that write a second picture behind the first."""
    return {"save_all": True, "append_images": [second.copy()]} | ({"lossless": True} if kind == "WEBP" else {})


def images() -> Iterator[tuple[str, bytes]]:
    """File name and content of every golden image."""
    yield "photo_wide.png", encoded(photograph(48, 72, 1), "PNG", optimize=True)
    yield "photo_tall.png", encoded(photograph(70, 41, 2), "PNG", optimize=True)
    yield "photo_small.png", encoded(photograph(11, 9, 3), "PNG", optimize=True)
    yield from pngs()
    yield from jpegs()
    yield from others()
    for name, kind in (("truncated.jpg", "JPEG"), ("truncated.png", "PNG")):
        whole = encoded(IMAGE, kind)
        yield name, whole[: 3 * len(whole) // 4]
    yield "float_to_255.tif", encoded(RGB[..., 0].astype(np.float32), "TIFF")
    yield "integers.tif", encoded(RGB[..., 0].astype(np.int32), "TIFF")
    yield "text.jpg", b"This is no image.\n"


def pngs() -> Iterator[tuple[str, bytes]]:
    """Every kind of pixels."""
    yield "rgb.png", encoded(IMAGE, "PNG")
    yield "grey.png", encoded(GREY, "PNG")
    yield "bilevel.png", encoded(GREY.convert("1"), "PNG")
    yield "grey_16_bit.png", encoded(DEEP, "PNG")
    yield "rgb_16_bit.png", png(np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]]), 16, 2)
    yield "rgba.png", encoded(RGBA, "PNG")
    yield "grey_alpha.png", encoded(Image.merge("LA", [GREY, Image.fromarray(ALPHA)]), "PNG")
    yield "palette.png", encoded(PALETTE, "PNG")
    yield "palette_alpha.png", encoded(PALETTE, "PNG", transparency=bytes(range(0, 256, 20)))
    key = struct.pack(">HHH", *map(int, RGB[3, 3]))
    yield "transparent_colour.png", png(RGB, 8, 2, png_chunk(b"tRNS", key))
    yield "orientation_6.png", encoded(IMAGE, "PNG", exif=exif(6))
    yield "animated.png", encoded(IMAGE, "PNG", **two("PNG"))


def jpegs() -> Iterator[tuple[str, bytes]]:
    """Encodings, orientations, odd EXIF."""
    full = {"quality": 90, "subsampling": "4:4:4"}
    yield "baseline_444.jpg", encoded(IMAGE, "JPEG", **full)
    yield "baseline_420.jpg", encoded(IMAGE, "JPEG", quality=90, subsampling="4:2:0")
    yield "progressive_420.jpg", encoded(IMAGE, "JPEG", quality=90, subsampling="4:2:0", progressive=True)
    yield "grey.jpg", encoded(GREY, "JPEG", quality=90)
    yield "cmyk.jpg", encoded(IMAGE.convert("CMYK"), "JPEG", **full)
    for orientation in range(1, 9):
        yield f"orientation_{orientation}.jpg", encoded(IMAGE, "JPEG", **full, exif=exif(orientation))
    unwritable = struct.pack(">HHII", 0x128, 4, 1, 70000)
    yield "exif_odd_tag_orientation_6.jpg", encoded(IMAGE, "JPEG", **full, exif=exif(6, unwritable))
    yield "exif_garbage.jpg", encoded(IMAGE, "JPEG", **full, exif=b"Exif\0\0garbage!")
    yield "two_pictures.jpg", encoded(IMAGE, "MPO", **full, **two("MPO"))


def others() -> Iterator[tuple[str, bytes]]:
    """WebP, GIF, TIFF, BMP, PGM, ICO."""
    yield "lossless_alpha.webp", encoded(RGBA, "WEBP", lossless=True, exact=True)
    yield "lossy.webp", encoded(IMAGE, "WEBP", quality=90)
    yield "animated_lossless.webp", encoded(IMAGE, "WEBP", **two("WEBP"))
    yield "animated.gif", encoded(PALETTE, "GIF", **two("GIF", OTHER.quantize(16)))
    yield "transparent.gif", encoded(PALETTE, "GIF", transparency=2)
    yield "smaller_than_its_canvas.gif", partial_gif(PALETTE)
    yield "rgb.tif", encoded(IMAGE, "TIFF", compression="tiff_lzw")
    yield "grey_16_bit.tif", encoded(DEEP, "TIFF")
    yield "float.tif", encoded(DEEP.astype(np.float32) / 65535, "TIFF")
    yield "orientation_8.tif", encoded(IMAGE, "TIFF", tiffinfo={274: 8})
    yield "two_pages.tif", encoded(IMAGE, "TIFF", **two("TIFF"))
    yield "cmyk.tif", encoded(IMAGE.convert("CMYK"), "TIFF")
    yield "rgb.bmp", encoded(IMAGE, "BMP")
    yield "grey_16_bit.pgm", b"P5 24 18 65535\n" + DEEP.astype(">u2").tobytes()
    yield "icon.ico", encoded(Image.fromarray(photograph(32, 32, 5)), "ICO", sizes=[(16, 16), (32, 32)])


def expected(names: list[str]) -> dict[str, Any]:
    """golden.json's content, by the decoder as it is."""
    decoded = []
    for name in names:
        pixels = np.asarray(open_image(FOLDER / name))
        height, width = pixels.shape[:2]
        decoded.append({"file": name, "kind": _kind(name), "height": height, "width": width, "rgb": _base64(pixels)})
    resized = []
    for name in RESIZED:
        for size in SIZES:
            for resize in ("squash", "center_crop"):
                for interpolation in ("bilinear", "bicubic"):
                    pixels = load(FOLDER / name, Preprocessing(size=size, resize=resize, interpolation=interpolation))
                    case = {"file": name, "size": size, "resize": resize, "interpolation": interpolation}
                    resized.append(case | {"rgb": _base64(pixels)})
    refused = [{"file": name, "why": why} for name, why in REFUSED.items()]
    return {"rules": RULES, "tolerances": TOLERANCES, "decoded": decoded, "resized": resized, "refused": refused}


def _kind(name: str) -> str:
    if name.endswith(".jpg"):
        return "jpeg_420" if "_420" in name else "jpeg"
    return "webp_lossy" if name == "lossy.webp" else "lossless"


def _base64(pixels: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()


def _lines(golden: dict[str, Any]) -> str:
    """JSON with one case a line."""
    parts = []
    for key, value in golden.items():
        cases = value if isinstance(value, list) else None
        text = "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]" if cases else json.dumps(value)
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", action="store_true", help="write the images too")
    if parser.parse_args().images:
        for name, data in images():
            (FOLDER / name).write_bytes(data)
    names = sorted(path.name for path in FOLDER.iterdir() if path.suffix not in (".py", ".json"))
    golden = expected([name for name in names if name not in REFUSED])
    (FOLDER / "golden.json").write_text(_lines(golden), encoding="utf-8")


if __name__ == "__main__":
    main()
