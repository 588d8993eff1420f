"""The self-test images, as the camera or the data set wrote them, with the training framework's logits."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..distill.checkpoint import Student
from ..runtime.bundle import GoldenImage, describe_file
from ..runtime.errors import DataError
from ..runtime.images import ImageSource, encoded_bytes, open_image, source_name
from ..runtime.preprocess import load
from .probes import framework_logits

_SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "GIF": ".gif",
}
_QUALITY = 95


def write_golden(
    sources: Sequence[ImageSource], student: Student, root: Path
) -> tuple[tuple[GoldenImage, ...], np.ndarray]:
    """Write self-test images to `root`/selftest.

    Files and encoded bytes are copied byte for byte; an array or Pillow image is encoded as JPEG first, and its logits
    are those of the decoded JPEG, so that the self-test proves decoding and resizing with the model.

    Args:
        sources: a few images.
        student: whose logits are stored, computed from the written files.
        root: the bundle's folder.

    Returns:
        one record per image, and the decoded and resized images uint8 (N, H, W, 3).

    Raises:
        DataError: names the image that cannot be read or decoded.
    """
    size = student.card.preprocessing.size
    folder = root / "selftest"
    paths = []
    for number, source in enumerate(sources):
        data, suffix = _encoded(source)
        path = folder / f"{number:02d}{suffix}"
        folder.mkdir(exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    if not paths:
        return (), np.empty((0, *size, 3), np.uint8)
    images = np.stack([load(path, student.card.preprocessing) for path in paths])
    logits = framework_logits(student.model, images)
    records = tuple(
        GoldenImage(file=describe_file(path, root), logits=tuple(map(float, row)))
        for path, row in zip(paths, logits, strict=True)
    )
    return records, images


def _encoded(source: ImageSource) -> tuple[bytes, str]:
    """An image file's bytes and the suffix of its format."""
    if isinstance(source, np.ndarray | Image.Image):
        stream = io.BytesIO()
        open_image(source).save(stream, format="JPEG", quality=_QUALITY, subsampling=0)
        return stream.getvalue(), ".jpg"
    encoded = source if isinstance(source, str | Path) else encoded_bytes(source)  # a file object is read once
    open_image(encoded)  # a truncated file is named here, before it is copied
    data = encoded_bytes(encoded)
    with Image.open(io.BytesIO(data)) as image:
        suffix = _SUFFIXES.get(image.format or "")
    if suffix is None:
        raise DataError(f"{source_name(source)}: {image.format} cannot be a self-test image: give JPEG or PNG files.")
    return data, suffix
