"""Which backend infers where several threads do."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..backends.base import Backend
from ..device import usable_cores
from ..errors import first_line

_log = logging.getLogger("edgedistill")

# Batches that came beside others, after which it pays to load the model once more.
ENOUGH = 32
# Bytes of a model's files; a larger one is not loaded twice.
LARGEST = 100_000_000


class SideBySide:
    """A backend, and the same model once more where many images are inferred in several threads.

    The threads that a session has for itself wait by spinning, on cores where others decode or infer: there a thread
    for each inference is quicker. An image that comes alone, such as a camera's, is quickest on all cores.

    Args:
        name: of the artifact, for messages.
        alone: what is loaded; closed with this.
        size: bytes of the model's files.
    """

    def __init__(self, name: str, alone: Backend, size: int) -> None:
        self._name = name
        self._alone = alone
        self._many: Backend | None = None
        self._turn = threading.Lock()
        self._under_way = 0
        self._beside_others = 0
        self._wanted = size <= LARGEST  # it is to be loaded when there are enough
        self._closed = False

    @contextmanager
    def batch(self, workers: int) -> Iterator[Backend]:
        """The backend for a batch that one of so many threads decodes and infers in this context."""
        with self._turn:
            self._under_way += 1
            beside = self._under_way > 1 and workers >= usable_cores() > 1
            self._beside_others += beside
            loads = beside and self._wanted and self._beside_others > ENOUGH
            self._wanted &= not loads
            many = self._many if beside else None
        try:
            yield (self._load() if loads else many) or self._alone
        finally:
            with self._turn:
                self._under_way -= 1

    def _load(self) -> Backend | None:
        """By one thread, while the others go on with what there is."""
        try:
            found = self._alone.for_many()
        # Its file was altered or removed, memory is short, or another distribution's backend raises anything.
        except Exception as error:
            _log.warning("%s: many images are inferred more slowly: %s", self._name, first_line(error))
            return None
        if found is self._alone:
            return None
        with self._turn:
            if not self._closed:
                self._many = found
                return found
        found.close()
        return None

    def close(self) -> None:
        """Both backends; what is being loaded is closed by its thread."""
        with self._turn:
            self._closed = True
            many, self._many = self._many, None
        try:
            if many is not None:
                many.close()
        finally:
            self._alone.close()
