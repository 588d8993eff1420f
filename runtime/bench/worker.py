"""The measured process of `bench`: one artifact, alone, told over stdin what to do.

Several backends in one process disturb each other's threads and allocators, so each gets its own. Every line on stdin
is a request, every line on the original stdout its answer; a library's prints go to stderr. The process ends with its
parent, whatever it is doing and however the parent ended.
"""

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import msgspec

from ..backends.base import BACKENDS
from ..bundle.loose import open_source
from ..bundle.selection import not_runnable, open_artifact, select_artifacts
from ..errors import BundleError, EdgedistillError
from .canary import Canary
from .machine import read_interference
from .messages import Answer, Measure, Measured, Refused, Request, Start, Started, printable
from .query import random_batch

_SETTLE = 3
_CANARY_EVERY_MS = 50.0
_SHORT_MS = 5.0
_READ_BYTES = 65536
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9

Infer = Callable[[], Any]


def main() -> None:
    """Serve requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _die_with_parent()
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    infer: Infer | None = None
    while True:
        request = msgspec.json.decode(lines.get(), type=Request)
        if isinstance(request, Start):
            infer, answer = _start(request)
        elif infer is not None:
            answer = measure(infer, request)
        else:
            raise RuntimeError("asked to measure before anything was started")
        _send(answers, answer)


def measure(infer: Infer, turn: Measure) -> Measured:
    """Infer until both minimums of the turn are met, with the canary before, between and after.

    The first inferences are left out, since between two turns another process had the caches; so is the one after the
    canary, where inferences are so short that it might be felt.
    """
    for _ in range(_SETTLE):
        infer()
    canary = Canary()
    begun, before = time.perf_counter(), read_interference()
    canary.burst()
    samples: list[float] = []
    spent = since_canary = 0.0
    while len(samples) < turn.queries or spent < 1000.0 * turn.seconds:
        sample = timed(infer)[0]
        samples.append(round(sample, 4))
        spent += sample
        since_canary += sample
        if since_canary >= _CANARY_EVERY_MS:
            canary.burst()
            since_canary = 0.0
            if sample < _SHORT_MS:
                infer()
    canary.burst()
    switches, waited = read_interference().since(before)
    mean, floor = canary.take()
    return Measured(
        samples_ms=samples,
        canary_ms=mean,
        canary_floor_ms=floor,
        seconds=time.perf_counter() - begun,
        switches=switches,
        waited_s=waited,
        peak_rss_bytes=peak_rss(),
    )


def peak_rss() -> int | None:
    """The largest resident memory of this process in bytes; None where the system does not tell.

    Linux's ru_maxrss starts at the parent's size when the child is made by vfork, so VmHWM is read first.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, the Unix without /proc


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds that a call took, and what it returned."""
    begun = time.perf_counter()
    result = function()
    return (time.perf_counter() - begun) * 1000.0, result


def _start(request: Start) -> tuple[Infer | None, Answer]:
    try:
        infer, import_ms, load_ms, effective = _open(request)
    except EdgedistillError as error:
        why = not_runnable(request.artifact, error, device=request.device)
        return None, Refused(printable(why.reason), why.refused)
    first_ms, _ = timed(infer)
    return infer, Started(import_ms, load_ms, first_ms, effective)


def _open(request: Start) -> tuple[Infer, float, float, dict[str, str]]:
    """One inference as a call without arguments; milliseconds of the library's import and of loading; what is used."""
    bundle = open_source(os.fsdecode(request.source), backend=request.backend, precision=request.precision)
    if bundle.manifest_sha256 != request.identity:
        raise BundleError(f"{bundle.root}: was exchanged while it was measured: run it again.")
    (artifact,) = select_artifacts(bundle, [request.artifact])
    kind = BACKENDS.find(artifact.backend)
    import_ms, _ = timed(kind.library if kind is not None else lambda: None)
    load_ms, backend = timed(lambda: open_artifact(bundle, artifact, threads=request.threads, device=request.device))
    feeds = {spec.name: random_batch(spec, request.batch_size, request.size) for spec in backend.inputs}
    return lambda: backend.run(feeds), import_ms, load_ms, backend.effective


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
