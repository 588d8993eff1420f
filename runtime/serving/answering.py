"""From a request to its answer: the image is received, decoded beside others, and inferred together with others."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

import numpy as np
from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from ..device import usable_cores
from ..errors import DataError, EdgedistillError
from ..predictor import Prediction, Predictor
from ..preprocess import loader
from .answers import Fault, labels_of
from .batching import Batcher
from .limits import Limits, check_limits
from .measures import Measures
from .receiving import RefusedImageError, body_of, decoded

_log = logging.getLogger("edgedistill")


class Answering:
    """Answers images with a predictor, within limits; belongs to one event loop.

    Args:
        predictor: what answers; closed when `lifespan` ends.
        limits: what is taken at most.

    Attributes:
        cut_off: images that got no answer, since the server stopped before.

    Raises:
        ConfigError: a limit has no sense.
    """

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.measures = Measures(predictor)
        self._most = check_limits(limits, predictor)
        self._load = loader(predictor.decode)
        self._pending = 0
        self.cut_off = 0

    @asynccontextmanager
    async def lifespan(self, _: object) -> AsyncIterator[None]:
        """While the server runs. What is under way when it is told to stop is answered before this ends."""
        self._decoders = ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode")
        self._batcher: Batcher[np.ndarray, Prediction] = Batcher(
            self._infer,
            most=self._most,
            workers=usable_cores() if self._most <= self.predictor.artifact.target.batch.typical else 1,
            window=self.limits.window_ms / 1000.0,
            observe=self.measures.inferred,
        )
        self._batcher.start()
        try:
            yield
        finally:
            await self._batcher.close()
            self._decoders.shutdown()
            self.predictor.close()

    @property
    def full(self) -> bool:
        """Whether as many images are under way as are taken at once."""
        return self._pending >= self.limits.pending

    async def answer(self, request: Request, top: int | None) -> Response:
        """The labels of the image in the request's body, or why there are none."""
        begun = time.perf_counter()
        status, told = await self._outcome(request, top)
        self.measures.requests.labels(str(status)).inc()
        if status == 200:
            self.measures.request_seconds.observe(time.perf_counter() - begun)
        headers = {"Retry-After": "1"} if status == 503 else None
        return Response(told.model_dump_json(exclude_none=True), status, headers, media_type="application/json")

    async def _outcome(self, request: Request, top: int | None) -> tuple[int, BaseModel]:
        try:
            with self._taken():
                return 200, labels_of(await self._predict(request), top)
        except RefusedImageError as error:
            status, reason = error.status, error.reason
        except DataError as error:
            status, reason = 422, str(error)
        except EdgedistillError as error:
            status, reason = 500, str(error)
            _log.error("%s", reason)
        except ClientDisconnect:
            status, reason = 400, "the client left before its image had arrived."
        except Exception:
            _log.exception("a request was not answered")
            status, reason = 500, "a fault of the server: its log says which."
        return status, Fault(error=reason)

    @contextmanager
    def _taken(self) -> Iterator[None]:
        """An image is under way."""
        if self.full:
            raise RefusedImageError(
                503, f"{self._pending} images are under way, as many as are taken at once: try again."
            )
        self._pending += 1
        self.measures.pending.set(self._pending)
        try:
            yield
        except asyncio.CancelledError:  # the time to stop is over
            self.cut_off += 1
            raise
        finally:
            self._pending -= 1
            self.measures.pending.set(self._pending)

    async def _predict(self, request: Request) -> Prediction:
        data = await body_of(request, self.limits)
        pixels = await asyncio.get_running_loop().run_in_executor(self._decoders, self._decode, data)
        return await self._batcher.result(pixels)

    def _decode(self, data: bytes) -> np.ndarray:
        with self.measures.decode_seconds.time():
            return decoded(data, self._load, self.predictor.manifest.preprocessing, self.limits)

    def _infer(self, images: list[np.ndarray]) -> list[Prediction]:
        """All in one inference."""
        if len(images) == 1:
            return self.predictor.predict(images[0])
        found = self.predictor.predict_stream(images, batch_size=len(images), workers=1)
        return [one for one in found if isinstance(one, Prediction)]  # ready pixels are never skipped
