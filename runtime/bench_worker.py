"""The measured process of `bench`: one artifact, alone, told over stdin what to do. `python -m ...bench_worker`.

Several backends in one process disturb each other's threads and allocators, so each gets its own. Every line on stdin
is a JSON request, every line on the original stdout its JSON answer; a library's prints go to stderr.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import msgspec
import numpy as np

from .backends.base import BACKENDS, Backend
from .bundle import open_bundle
from .bundle.selection import open_artifact, select_artifacts
from .errors import EdgedistillError, MissingDependencyError

_SETTLE = 3
_WARM_UP_QUERIES, _WARM_UP_SECONDS = 10, 0.5


class Start(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    """Load an artifact and warm it up."""

    bundle: str
    artifact: str
    threads: int | None
    batch_size: int


class Measure(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    """One turn: infer until both minimums are met."""

    queries: int
    seconds: float


class Started(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    import_ms: float
    load_ms: float
    first_ms: float
    effective: dict[str, str]


class Refused(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    """The artifact does not run here; `refused` when the fault is the artifact's, not the machine's."""

    reason: str
    refused: bool


class Measured(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    samples_ms: list[float]
    peak_rss_bytes: int | None


Request = Start | Measure
Answer = Started | Refused | Measured


def main() -> None:
    """Serve requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    infer: Callable[[], Any] | None = None
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=Request)
        if isinstance(request, Start):
            infer = _start(request, answers)
        elif infer is not None:
            samples = [round(value, 4) for value in measure(infer, request.queries, request.seconds)]
            _send(answers, Measured(samples, peak_rss()))


def _start(request: Start, answers: TextIO) -> Callable[[], Any] | None:
    try:
        bundle = open_bundle(request.bundle)
        (artifact,) = select_artifacts(bundle, [request.artifact])
        kind = BACKENDS.find(artifact.backend)
        import_ms = _timed(kind.library)[0] if kind is not None else 0.0  # opening it says that it is unknown
        load_ms, backend = _timed(lambda: open_artifact(bundle, artifact, threads=request.threads))
    except EdgedistillError as error:
        _send(answers, Refused(str(error), refused=not isinstance(error, MissingDependencyError)))
        return None
    infer = _query(backend, request.batch_size)
    first_ms, _ = _timed(infer)
    measure(infer, _WARM_UP_QUERIES, _WARM_UP_SECONDS)
    _send(answers, Started(import_ms, load_ms, first_ms, backend.effective))
    return infer


def _query(backend: Backend, batch_size: int) -> Callable[[], Any]:
    """One inference on a fixed random batch; a convnet's time does not depend on the pixels."""
    spec = backend.inputs[0]
    shape = (batch_size, *(int(size) for size in spec.shape[1:]))
    generator = np.random.default_rng(0)
    batch: np.ndarray
    if spec.dtype == "uint8":
        batch = generator.integers(0, 256, shape, dtype=np.uint8)
    else:
        batch = generator.standard_normal(shape, dtype=np.float32)
    return lambda: backend.infer(batch)


def measure(infer: Callable[[], Any], queries: int, seconds: float) -> list[float]:
    """Milliseconds of each inference, until there are `queries` and `seconds` have passed.

    The first few are left out: between two turns another process had the caches.
    """
    for _ in range(_SETTLE):
        infer()
    samples: list[float] = []
    begun = time.perf_counter()
    while len(samples) < queries or time.perf_counter() - begun < seconds:
        samples.append(_timed(infer)[0])
    return samples


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


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = function()
    return (time.perf_counter() - begun) * 1000.0, result


def _send(answers: TextIO, answer: Answer) -> None:
    answers.write(msgspec.json.encode(answer).decode() + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
