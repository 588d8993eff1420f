"""From whatever holds an image to upright 8-bit RGB pixels: one decoder for training, export and devices.

docs/images.md is its specification, for those who decode in another language.
"""

from .decoding import FORMATS, MAX_PIXELS, RULES, decoded, image_suffixes, open_image, opened
from .orientation import orientation, upright
from .pixels import to_rgb
from .sources import MAX_BYTES, ImageSource, encoded_bytes, is_source, source_name

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "RULES",
    "ImageSource",
    "decoded",
    "encoded_bytes",
    "image_suffixes",
    "is_source",
    "open_image",
    "opened",
    "orientation",
    "source_name",
    "to_rgb",
    "upright",
]
