"""Inside the measured process: images come at random and wait for a free stream, as MLPerf's server scenario.

An image's latency runs from the moment at which it was to come, whether or not anyone was there to take it: timing
from the beginning of its inference would leave out the waiting, which is the point.
"""

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .measuring import Infer, Watch, settle
from .messages import Measured, Serve

LATE_SHARE = 0.01  # of the answers that may be late where p99 is within the limit
_BEGIN_SECONDS = 0.01


def poisson_arrivals(rate: float, count: int, seed: int) -> np.ndarray:
    """Seconds at which `count` images come, float64 and rising: a Poisson process of `rate` a second."""
    return np.cumsum(np.random.default_rng(seed).exponential(1.0 / rate, count))


def late_allowed(queries: int) -> int:
    """How many of `queries` may be late where p99 is within the limit."""
    return int(queries * LATE_SHARE)


def serve(streams: Sequence[Infer], turn: Serve) -> Measured:
    """Answer the images in their order, each by the first stream that is free.

    It is given up as soon as more were late than may be: then fewer samples come back than images were to come.

    Args:
        streams: one inference each, independent of the others.
        turn: how many come, how fast, and what is late.
    """
    for infer in streams:
        settle(infer)
    watch = Watch()
    waiting: queue.SimpleQueue[float | None] = queue.SimpleQueue()
    samples: list[float] = []
    late: list[float] = []
    given_up = threading.Event()

    def answer(infer: Infer) -> None:
        try:
            while (due := waiting.get()) is not None and not given_up.is_set():
                infer()
                latency = (time.perf_counter() - due) * 1000.0
                samples.append(round(latency, 4))
                if latency > turn.limit_ms:
                    late.append(latency)
                    if len(late) > late_allowed(turn.queries):
                        given_up.set()
        except BaseException:
            given_up.set()  # whoever sends images must not go on for a stream that is gone
            raise

    with ThreadPoolExecutor(len(streams), thread_name_prefix="stream") as pool:
        running = [pool.submit(answer, infer) for infer in streams]
        begun = time.perf_counter() + _BEGIN_SECONDS
        for offset in poisson_arrivals(turn.rate, turn.queries, turn.seed):
            due = begun + float(offset)
            if given_up.wait(max(0.0, due - time.perf_counter())):
                break
            waiting.put(due)
        for _ in streams:
            waiting.put(None)
        for stream in running:
            stream.result()
    return watch.done(samples)
