"""Image files written byte by byte, for what Pillow cannot write, and by Pillow, for what it can."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: list[bytes], width: int, bits: int, colour_type: int, *chunks: bytes, after: bytes = b"") -> bytes:
    """`chunks` stand before the pixels, `after` behind them; `rows` are packed as the file has them."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunks)
        + chunk(b"IDAT", pixels)
        + after
        + chunk(b"IEND", b"")
    )


def tiff(pixels: bytes, size: tuple[int, int], bits: int, *, kind: int = 1, photometric: int = 1, order="<") -> bytes:
    """One uncompressed strip of one sample per pixel; `kind` 1 is unsigned, 2 signed, 3 float; size (width, height)."""
    tags = [
        (256, 3, size[0]),
        (257, 3, size[1]),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8 + 2 + 12 * 10 + 4),
        (277, 3, 1),
        (278, 3, size[1]),
        (279, 4, len(pixels)),
        (339, 3, kind),
    ]
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, form, value in tags:
        data += struct.pack(f"{order}HHI", tag, form, 1) + struct.pack(
            order + ("HH" if form == 3 else "I"), *((value, 0) if form == 3 else (value,))
        )
    return data + bytes(4) + pixels


def exif(value: int, *, order: str = ">", kind: int = 3, count: int = 1, more: bytes = b"", entries: int = 0) -> bytes:
    """An EXIF block with an orientation; `more` holds `entries` further directory entries and what they point to."""
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}IH", 8, 1 + entries)
    field = struct.pack(f"{order}I", value) if kind == 4 else struct.pack(f"{order}HH", value, 0)
    return b"Exif\0\0" + head + struct.pack(f"{order}HHI", 0x112, kind, count) + field + more + bytes(4)


def picture(height: int = 10, width: int = 14, seed: int = 0) -> np.ndarray:
    """uint8 (H, W, 3) without any symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    shades = np.stack([x * 250 // width, y * 250 // height, (x * 3 + y * 5) % 200], -1)
    return (shades + np.random.default_rng(seed).integers(0, 6, shades.shape)).astype(np.uint8)


def on_white(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What docs/images.md says: rounded to the nearest, exactly."""
    values, alpha = values.astype(np.int64), alpha.astype(np.int64)
    return ((values * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
