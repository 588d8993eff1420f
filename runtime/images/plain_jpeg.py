"""Which JPEG files are plain: what their header says, without decoding anything."""

from typing import NamedTuple

from .orientation import orientation_of

_START = b"\xff\xd8"
_EXIF, _JFIF, _PROFILE = b"Exif\0", b"JFIF\0", b"ICC_PROFILE\0"
_APP0, _APP1, _APP2, _COMMENT, _SCAN = 0xE0, 0xE1, 0xE2, 0xFE, 0xDA
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_TABLES = frozenset({0xDB, 0xC4, 0xDD})  # quantisation, Huffman, restart interval
_SHORTEST_JFIF = 14
_IDS = {1: ((1,),), 3: ((1, 2, 3), (0, 1, 2))}  # others may stand for RGB


class PlainJpeg(NamedTuple):
    """A plain JPEG: baseline or progressive, 8 bits, grey or YCbCr, and nothing that leaves its meaning open.

    Attributes:
        height: in pixels, as stored.
        width: the same.
        orientation: EXIF's, 1 to 8.
    """

    height: int
    width: int
    orientation: int


def plain_jpeg(data: bytes) -> PlainJpeg | None:
    """What the header says; None for whatever is not a plain JPEG, and where anything in it is unusual or damaged.

    Such a file may well be an image: it is for Pillow, which knows all kinds, to say what it means.
    """
    if data[:2] != _START:
        return None
    place, frame, exif = 2, None, b""
    while True:
        head = data[place : place + 4]
        if len(head) < 4 or head[0] != 0xFF:
            return None
        marker, length = head[1], (head[2] << 8) | head[3]
        content = data[place + 4 : place + 2 + length]
        if length < 2 or len(content) < length - 2:
            return None
        if marker == _SCAN:
            break
        if marker in (_BASELINE, _PROGRESSIVE) and frame is None:
            frame = _frame(content)
        elif marker == _APP1:
            if content.startswith(_EXIF):
                if exif:
                    return None
                exif = content
        elif not _is_usual(marker, content):
            return None
        place += 2 + length
    return None if frame is None else PlainJpeg(*frame, orientation_of(exif))


def _is_usual(marker: int, content: bytes) -> bool:
    if marker == _APP0:
        return content.startswith(_JFIF) and len(content) >= _SHORTEST_JFIF
    if marker == _APP2:
        return content.startswith(_PROFILE)
    return marker in _TABLES or marker == _COMMENT


def _frame(content: bytes) -> tuple[int, int] | None:
    """Height and width of a frame of 8 bits in grey or YCbCr."""
    if len(content) < 6 or content[0] != 8 or len(content) != 6 + 3 * content[5]:
        return None
    height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    ids = tuple(content[6::3])
    return (height, width) if height and width and ids in _IDS.get(content[5], ()) else None
