"""The measured process of `bench`: one artifact, alone, told over stdin what to do.

Several backends in one process disturb each other's threads and allocators, so each gets its own. Every line on stdin
is a request, every line on the original stdout its answer; a library's prints go to stderr. The process ends with its
parent, whatever it is doing and however the parent ended.
"""

import os
import queue
import sys
import threading
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TextIO

import msgspec

from ..backends.base import BACKENDS, Backend
from ..bundle import Artifact, Manifest
from ..bundle.loose import open_source
from ..bundle.selection import not_runnable, open_artifact, select_artifacts
from ..errors import BundleError, EdgedistillError
from .measuring import Infer, measure, timed
from .messages import (
    Answer,
    Measure,
    Photograph,
    Refused,
    Request,
    Saturate,
    Serve,
    Start,
    Started,
    Task,
    printable,
)
from .photograph import time_photograph
from .query import random_batch
from .serving import serve
from .streams import saturate

_READ_BYTES = 65536
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


class Loaded(NamedTuple):
    """An artifact that runs.

    Attributes:
        manifest: the bundle's.
        artifact: which.
        backends: its copies, one per stream.
        streams: one inference of each copy.
    """

    manifest: Manifest
    artifact: Artifact
    backends: Sequence[Backend]
    streams: Sequence[Infer]


def main() -> None:
    """Serve requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _die_with_parent()
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    loaded: Loaded | None = None
    while True:
        request = msgspec.json.decode(lines.get(), type=Request)
        if isinstance(request, Start):
            loaded, answer = _start(request)
        elif loaded is not None:
            answer = work(loaded, request)
        else:
            raise RuntimeError("asked to measure before anything was started")
        _send(answers, answer)


def work(loaded: Loaded, request: Task | Photograph) -> Answer:
    """Do what is asked of a loaded artifact."""
    if isinstance(request, Measure):
        return measure(loaded.streams[0], request)
    if isinstance(request, Saturate):
        return saturate(loaded.streams, request)
    if isinstance(request, Serve):
        return serve(loaded.streams, request)
    try:
        return time_photograph(loaded.manifest, loaded.artifact, loaded.backends[0], request)
    except EdgedistillError as error:
        return Refused(printable(str(error)), refused=False)


def _start(request: Start) -> tuple[Loaded | None, Answer]:
    try:
        loaded, import_ms, load_ms = _open(request)
    except EdgedistillError as error:
        why = not_runnable(request.artifact, error, device=request.device)
        return None, Refused(printable(why.reason), why.refused)
    first_ms, _ = timed(loaded.streams[0])
    return loaded, Started(import_ms, load_ms, first_ms, loaded.backends[0].effective)


def _open(request: Start) -> tuple[Loaded, float, float]:
    """The loaded artifact; milliseconds of the library's import and of loading it once."""
    bundle = open_source(os.fsdecode(request.source), backend=request.backend, precision=request.precision)
    if bundle.manifest_sha256 != request.identity:
        raise BundleError(f"{bundle.root}: was exchanged while it was measured: run it again.")
    (artifact,) = select_artifacts(bundle, [request.artifact])
    kind = BACKENDS.find(artifact.backend)
    import_ms, _ = timed(kind.library if kind is not None else lambda: None)

    def load() -> Backend:
        return open_artifact(bundle, artifact, threads=request.threads, device=request.device)

    load_ms, first = timed(load)
    backends = [first, *(load() for _ in range(request.streams - 1))]
    feeds = {spec.name: random_batch(spec, request.batch_size, request.size) for spec in first.inputs}
    streams = [partial(backend.run, feeds) for backend in backends]
    return Loaded(bundle.manifest, artifact, backends, streams), import_ms, load_ms


def _listen(lines: "queue.SimpleQueue[bytes]") -> None:
    """Pass on requests. When stdin ends the parent is gone: so is this process, even in the middle of measuring."""
    pending = b""
    while chunk := os.read(0, _READ_BYTES):
        *complete, pending = (pending + chunk).split(b"\n")
        for line in complete:
            lines.put(line)
    os._exit(0)


def _die_with_parent() -> None:
    """Linux ends the process even while a library's call holds Python's lock, when no thread could notice."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def _send(answers: TextIO, answer: Answer) -> None:
    answers.write(msgspec.json.encode(answer).decode() + "\n")
    answers.flush()
