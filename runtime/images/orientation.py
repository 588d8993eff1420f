"""The one thing that is read of EXIF: which way up an image is."""

import struct

from PIL import Image

_TAG = 0x0112
_SHORT, _LONG = 3, 4
_PREFIX = b"Exif\0\0"
_TRANSPOSE = Image.Transpose
_TURNS = {
    2: _TRANSPOSE.FLIP_LEFT_RIGHT,
    3: _TRANSPOSE.ROTATE_180,
    4: _TRANSPOSE.FLIP_TOP_BOTTOM,
    5: _TRANSPOSE.TRANSPOSE,
    6: _TRANSPOSE.ROTATE_270,
    7: _TRANSPOSE.TRANSVERSE,
    8: _TRANSPOSE.ROTATE_90,
}


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image, 1 to 8, from the EXIF block beside its pixels.

    1, upright, is also what a missing, damaged or meaningless tag stands for. A TIFF's tag is not asked for: Pillow
    itself turns TIFFs when it loads them. Orientation in XMP is ignored, as browsers do.
    """
    block = image.info.get("exif")
    return orientation_of(block) if isinstance(block, bytes) else 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned as `orientation` says, without the EXIF block that would turn it once more."""
    if orientation not in _TURNS:
        return image
    turned = image.transpose(_TURNS[orientation])
    turned.info = {}
    return turned


def orientation_of(block: bytes) -> int:
    """The same from an EXIF block: the first tag of the first directory; nothing else of the block is looked at."""
    while block.startswith(_PREFIX):
        block = block[len(_PREFIX) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", block, place)
            if tag == _TAG:
                if values != 1 or kind not in (_SHORT, _LONG):
                    return 1
                (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), block, place + 8)
                return value if value in _TURNS else 1
    except struct.error:  # the block ends within the directory
        return 1
    return 1
