"""From whatever holds an image to upright 8-bit RGB pixels: one decoder for training, export and devices.

docs/images.md is its specification, for those who decode in another language.
"""

from .decoding import FORMATS, MAX_PIXELS, RULES, decoded, image_suffixes, open_image, opened
from .orientation import orientation, upright
from .pixels import to_rgb
from .scaled import Scaled, decode_scaled, scaled_decoder
from .sources import MAX_BYTES, ImageSource, encoded_bytes, is_source, not_an_image, source_name

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "RULES",
    "ImageSource",
    "Scaled",
    "decode_scaled",
    "decoded",
    "encoded_bytes",
    "image_suffixes",
    "is_source",
    "not_an_image",
    "open_image",
    "opened",
    "orientation",
    "scaled_decoder",
    "source_name",
    "to_rgb",
    "upright",
]
