"""The self-test images: genuine files of several sizes, without personal metadata, with the network's own logits."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from ..runtime.bundle import GoldenImage, describe_file
from ..runtime.images import ImageSource, encoded_bytes, open_image, orientation
from ..runtime.preprocess import load
from .sources.base import Source

_QUALITY = 95
_UPRIGHT, _ON_ITS_SIDE = 1, 5  # EXIF: from 5 on width and height are exchanged
_TURNED = 6  # EXIF: the camera was held upright, the pixels lie on their side
_LARGER = 2  # golden images that must be larger than the input, so that resizing is proven
_MOSAIC = (3, 2)


def choose_golden(images: Sequence[ImageSource], reported: np.ndarray, count: int) -> list[ImageSource]:
    """The first `count` images on which the student reports a label; filled up with the first others.

    Args:
        images: N sources.
        reported: bool (N, C): probability >= threshold.
        count: how many.
    """
    order = np.argsort(~reported.any(axis=1), kind="stable")
    return [images[i] for i in order[:count]]


def write_golden(
    sources: Sequence[ImageSource], network: Source, root: Path
) -> tuple[tuple[GoldenImage, ...], np.ndarray]:
    """Write self-test images to `root`/selftest.

    A JPEG or PNG file without metadata is copied byte for byte; with metadata (GPS, camera, thumbnails, comments) it is
    written anew with its orientation alone. Everything else becomes a JPEG (arrays) or a PNG (other formats). Where the
    given images prove too little, more are made of them: at least two are larger than the graph's input, of another
    aspect ratio, and one is stored on its side, as phones do. Logits are those of the written files, so that the
    self-test proves decoding, orientation and resizing with the model.

    Args:
        sources: a few images.
        network: whose logits are stored, computed from the written files.
        root: the bundle's folder.

    Returns:
        one record per image, and the decoded and resized images uint8 (N, H, W, 3).

    Raises:
        DataError: names the image that cannot be read or decoded.
    """
    size = network.card.preprocessing.size
    if not sources:
        return (), np.empty((0, *size, 3), np.uint8)
    folder = root / "selftest"
    folder.mkdir()
    # Read once: an open file has no second reading.
    held = [source if isinstance(source, np.ndarray | Image.Image) else encoded_bytes(source) for source in sources]
    named = [source if isinstance(source, str | Path) else data for source, data in zip(sources, held, strict=True)]
    uprights = [open_image(source) for source in named]
    written = [_encoded(source, upright) for source, upright in zip(held, uprights, strict=True)]
    files = {f"{number:02d}{suffix}": data for number, (data, suffix) in enumerate(written)}
    files |= _supplements(uprights, [data for data, _ in written], size)
    paths = [folder / name for name in files]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    images = np.stack([load(path, network.card.preprocessing) for path in paths])
    logits = network.logits(images)
    records = tuple(
        GoldenImage(file=describe_file(path, root), logits=tuple(map(float, row)))
        for path, row in zip(paths, logits, strict=True)
    )
    return records, images


def _encoded(source: "bytes | np.ndarray | Image.Image", upright: Image.Image) -> tuple[bytes, str]:
    """An image file's bytes without personal metadata, and the suffix of its format."""
    if not isinstance(source, bytes):
        return _jpeg(upright), ".jpg"
    with Image.open(io.BytesIO(source)) as image:
        if image.format == "JPEG":
            return (source if _is_bare(image) else _rewritten(image)), ".jpg"
        if image.format == "PNG" and _is_bare(image):
            return source, ".png"
    stream = io.BytesIO()
    upright.save(stream, format="PNG", optimize=True)
    return stream.getvalue(), ".png"


def _is_bare(image: Image.Image) -> bool:
    """Whether the file holds nothing but pixels, and what decoding them needs."""
    if image.format == "JPEG":
        return all(name in ("APP0", "APP14") for name, _ in getattr(image, "applist", ()))
    image.load()  # text after the pixels
    return not (set(image.info) - {"gamma", "srgb", "dpi", "transparency", "chromaticity", "interlace"})


def _rewritten(image: Image.Image) -> bytes:
    """The JPEG again, with its own quantisation and of its metadata the orientation alone."""
    exif, stored = Image.Exif(), orientation(image)
    if stored != _UPRIGHT:
        exif[ExifTags.Base.Orientation] = stored
    stream = io.BytesIO()
    image.save(
        stream, format="JPEG", quality="keep", exif=exif.tobytes() if len(exif) else b"", icc_profile=None, comment=b""
    )
    return stream.getvalue()


def _supplements(uprights: Sequence[Image.Image], written: Sequence[bytes], size: tuple[int, int]) -> dict[str, bytes]:
    """What the given images leave unproven: resizing of larger images of another ratio, and orientation."""
    height, width = size
    made = {}
    larger = [image for image in uprights if image.width > width and image.height > height]
    other_ratio = [image for image in larger if image.width * height != image.height * width]
    for place in range(_LARGER - min(len(other_ratio), _LARGER)):
        stream = io.BytesIO()
        mosaic = _mosaic(uprights, _MOSAIC if place == 0 else _MOSAIC[::-1], size, start=place)
        mosaic.save(stream, format="PNG", optimize=True)
        made[f"mosaic-{place + 1}.png"] = stream.getvalue()
    if not any(map(_is_turned, written)):
        made["turned.jpg"] = _jpeg((other_ratio or [_mosaic(uprights, (2, 3), size, start=1)])[0], turned=True)
    return made


def _is_turned(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as image:
        return orientation(image) >= _ON_ITS_SIDE


def _mosaic(images: Sequence[Image.Image], layout: tuple[int, int], size: tuple[int, int], start: int) -> Image.Image:
    """A picture of `layout` (columns, rows) tiles a little larger than the input; the last one is a zone plate.

    Photographs may be smooth; a zone plate has detail of every size and direction, which no other filter renders alike.
    """
    columns, rows = layout
    height, width = (side + side // 8 for side in size)
    picture = Image.new("RGB", (columns * width, rows * height))
    for place in range(columns * rows):
        last = place == columns * rows - 1
        tile = images[(start + place) % len(images)].resize((width, height), Image.Resampling.LANCZOS)
        tile = _zone_plate(width, height) if last else tile
        picture.paste(tile, ((place % columns) * width, (place // columns) * height))
    return picture


def _zone_plate(width: int, height: int) -> Image.Image:
    """Rings that grow finer from the middle to one pixel at the edge."""
    y, x = np.mgrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j]
    rings = 127.5 * (1 + np.cos(np.pi / 4 * max(width, height) * (x**2 + y**2)))
    return Image.fromarray(rings.round().astype(np.uint8)).convert("RGB")


def _jpeg(image: Image.Image, *, turned: bool = False) -> bytes:
    stream, exif = io.BytesIO(), Image.Exif()
    if turned:
        exif[ExifTags.Base.Orientation] = _TURNED
        image = image.transpose(Image.Transpose.ROTATE_90)
    image.save(stream, format="JPEG", quality=_QUALITY, subsampling=0, exif=exif.tobytes() if turned else b"")
    return stream.getvalue()
