"""Opening an image of any kind, and naming it when that fails."""

import contextlib
import io
import os
import threading
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from ..errors import DataError, first_line
from .orientation import orientation, upright
from .pixels import RefusedPixelsError, from_array, to_rgb
from .sources import Encoded, ImageSource, encoded_bytes, source_name

RULES = 2  # of decoding; part of the key of all that is kept of decoded pixels
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "ICO", "PPM", "AVIF", "HEIF")
MAX_PIXELS = 178_956_970  # of an encoded image: where Pillow, left as it is, takes a file for a decompression bomb

_USUAL = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_MOST_WORDS = 200
_WAY_OUT = "Replace or remove the file."


def open_image(source: ImageSource) -> Image.Image:
    """Decode to an upright 8-bit RGB image; see docs/images.md for the rules.

    Args:
        source: a path; an encoded image as bytes, bytearray, memoryview or binary file object, which is read from where
            it stands and not closed; a Pillow image, which is read as it stands and never changed; or an array, uint8,
            uint16 or floats in [0, 1], of shape (H, W), (H, W, 1), (H, W, 3) in RGB or (H, W, 4) in RGBA order.

    Returns:
        an image of its own, but for a Pillow image that is RGB, opaque and upright already: that is returned itself.

    Raises:
        DataError: names the image and why it cannot be decoded.
    """
    if isinstance(source, np.ndarray):
        try:
            return from_array(source)
        except RefusedPixelsError as error:
            raise DataError(f"{error}.") from None
    with opened(source) as image:
        return decoded(image)


def decoded(image: Image.Image) -> Image.Image:
    """An opened image's pixels, upright 8-bit RGB."""
    rgb = to_rgb(image)
    # After loading: in a PNG, EXIF may follow the pixels. A TIFF was turned by Pillow.
    return rgb if image.format == "TIFF" else upright(rgb, orientation(image))


@contextlib.contextmanager
def opened(source: Encoded | Image.Image, name: str | None = None) -> Iterator[Image.Image]:
    """A Pillow image whose pixels are yet to be decoded; what fails in the `with` block becomes a line that names it.

    Args:
        source: the image.
        name: what messages call it, where `source` are bytes that were read from elsewhere.

    Raises:
        DataError: also for what is no image, or larger than `MAX_PIXELS`.
    """
    name = source_name(source) if name is None else name
    held = source if isinstance(source, Image.Image) else encoded_bytes(source)
    with _naming(name), _STRICTLY:
        image = _identified(held) if isinstance(held, bytes) else held
        if 0 in image.size:
            raise RefusedPixelsError(f"{image.width} x {image.height} pixels are none")
        if isinstance(held, bytes):
            yield image
            return
        try:
            yield image
        except RefusedPixelsError:
            raise
        except Exception:
            image.close()  # a second try would take what there is of it for the whole
            raise


def _identified(data: bytes) -> Image.Image:
    Image.preinit()
    try:
        image = Image.open(io.BytesIO(data), formats=_known_formats())
    except UnidentifiedImageError:
        Image.init()  # a tenth of a second, once, which the common formats do without
        image = Image.open(io.BytesIO(data), formats=_known_formats())
    if image.width * image.height > MAX_PIXELS:
        raise RefusedPixelsError(f"{image.width} x {image.height} pixels are more than the allowed {MAX_PIXELS}")
    if image.format == "TIFF":
        image.info.pop("xmp", None)  # or Pillow takes an orientation from there
    return image


def image_suffixes() -> tuple[str, ...]:
    """What the names of files end with that can be decoded here, in lower case with the dot; the usual ones first."""
    registered = Image.registered_extensions()
    known = {suffix.lower() for suffix, name in registered.items() if name in FORMATS}
    return (*(suffix for suffix in _USUAL if suffix in known), *sorted(known - set(_USUAL)))


def _known_formats() -> list[str]:
    return [name for name in FORMATS if name in Image.OPEN]


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Whatever Pillow raises becomes a DataError that names the image."""
    cause: Exception | None
    try:
        yield
    except DataError:
        raise
    except RefusedPixelsError as error:
        reason, cause = str(error), None
    except Image.DecompressionBombError as error:
        reason, cause = f"too large: {_said(error).rstrip('.')}", error
    except UnidentifiedImageError:
        reason, cause = "not an image of a known format and kind of pixels, or truncated within its header", None
    except Exception as error:  # damaged files make Pillow's plugins raise RuntimeError, struct.error and more
        reason, cause = f"truncated or damaged: {_said(error)}", error
    else:
        return
    raise DataError(f"{name}: cannot be decoded ({reason}). {_WAY_OUT}") from cause


def _said(error: Exception) -> str:
    """A library's words, which may quote the file."""
    words = first_line(error)
    return (words if words.isprintable() else ascii(words)[1:-1])[:_MOST_WORDS]


class _Strictly:
    """While any image is decoded here, Pillow refuses truncated files, whatever the app has asked it for.

    `ImageFile.LOAD_TRUNCATED_IMAGES` is the process's; it is as the app had it when no image is being decoded.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """No image is being decoded."""
        self._lock, self._under_way, self._lenient = threading.Lock(), 0, False

    def __enter__(self) -> None:
        with self._lock:
            self._under_way += 1
            if ImageFile.LOAD_TRUNCATED_IMAGES:
                self._lenient, ImageFile.LOAD_TRUNCATED_IMAGES = True, False

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._under_way -= 1
            if self._lenient and not self._under_way:
                self._lenient, ImageFile.LOAD_TRUNCATED_IMAGES = False, True


_STRICTLY = _Strictly()
if hasattr(os, "register_at_fork"):  # a child must not inherit the lock as held by a thread that it lacks
    os.register_at_fork(after_in_child=_STRICTLY.reset)
