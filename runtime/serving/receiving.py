"""An image as it arrives: bounded in bytes, time and pixels, before anything of it is decoded."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from fastapi import Request
from PIL import Image

from ..errors import DataError
from ..images import ImageSource, opened
from ..preprocess import Preprocessing
from .limits import Limits

Load: TypeAlias = Callable[[ImageSource, Preprocessing], np.ndarray]

_HINT = "Send the image's bytes themselves as the body: curl --data-binary @photo.jpg"


class RefusedImageError(Exception):
    """An image that is not taken: the status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


async def body_of(request: Request, limits: Limits) -> bytes:
    """The encoded image.

    Raises:
        RefusedImageError: a form, nothing, more bytes than are taken, or they came too slowly.
        starlette.requests.ClientDisconnect: the client left.
    """
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise RefusedImageError(415, f"a form with parts is not read. {_HINT}")
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > limits.most_bytes:  # before a byte of it is read
        raise _too_large(limits)
    try:
        data = await asyncio.wait_for(_read(request, limits), limits.body_seconds)
    except asyncio.TimeoutError:
        raise RefusedImageError(408, f"the image did not arrive within {limits.body_seconds:g} s.") from None
    if not data:
        raise RefusedImageError(400, f"the body is empty. {_HINT}")
    return data


async def _read(request: Request, limits: Limits) -> bytes:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > limits.most_bytes:
            raise _too_large(limits)
    return bytes(data)


def decoded(data: bytes, load: Load, preprocessing: Preprocessing, limits: Limits) -> np.ndarray:
    """Upright pixels at the graph's size, uint8 (H, W, 3), by one of `preprocess.LOADERS`.

    Raises:
        RefusedImageError: it has more pixels than are taken.
        DataError: it cannot be decoded.
    """
    try:
        with opened(data) as image:
            width, height = image.size
    except DataError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError):
            raise RefusedImageError(413, str(error)) from None
        raise
    if width * height > limits.most_pixels:
        raise RefusedImageError(
            413, f"the image has {width} x {height} pixels, more than the {limits.megapixels:g} megapixels taken here."
        )
    return load(data, preprocessing)


def _too_large(limits: Limits) -> RefusedImageError:
    return RefusedImageError(413, f"the image has more than the {limits.megabytes:g} MB taken here.")
