"""Small pictures inside a page, as data URIs."""

import base64
import io

from PIL import Image, ImageOps

from ..errors import DataError
from ..images import ImageSource, open_image
from .markup import Markup, element

SIDE = 200  # pixels of the longer side: sharp enough on a phone, some 8 kB each
_QUALITY = 72


def thumbnail(source: ImageSource, *, alt: str, side: int = SIDE) -> Markup:
    """An `<img>` that holds the picture itself; a line of text where it cannot be decoded any more.

    Args:
        source: what `runtime.images.open_image` takes.
        alt: what the picture is, for those who cannot see it.
        side: pixels of the longer side.
    """
    try:
        uri, width, height = data_uri(source, side)
    except DataError as error:
        return element("p", str(error), class_="missing")
    return element("img", src=uri, alt=alt, width=width, height=height, loading="lazy")


def data_uri(source: ImageSource, side: int = SIDE) -> tuple[str, int, int]:
    """A JPEG of at most `side` x `side` pixels without metadata, as a data URI, with its width and height.

    Raises:
        DataError: the image cannot be decoded.
    """
    image = open_image(source)
    small = image if max(image.size) <= side else ImageOps.contain(image, (side, side), Image.Resampling.BILINEAR)
    encoded = io.BytesIO()
    small.convert("RGB").save(encoded, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}", *small.size
