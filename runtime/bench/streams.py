"""Inside the measured process: several inferences under way all the time, each with a copy of the artifact.

The libraries leave Python's lock while they compute, so that threads are enough.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from .measuring import Infer, Watch, settle
from .messages import Measured, Saturate

_LOOK_SECONDS = 0.005


def saturate(streams: Sequence[Infer], turn: Saturate) -> Measured:
    """Keep all streams busy until both minimums are met.

    A stream's rate is the number of its inferences over the time until the last of them ended, so that neither what is
    cut off at the end nor waiting for a slower stream counts; the rates add up.

    Args:
        streams: one inference each, independent of the others.
        turn: the minimums: inferences of all streams together, and seconds.
    """
    for infer in streams:
        settle(infer)
    watch = Watch()
    begin, stop = threading.Barrier(len(streams) + 1), threading.Event()
    samples: list[list[float]] = [[] for _ in streams]
    rates = [0.0] * len(streams)

    def keep_busy(place: int) -> None:
        own, infer = samples[place], streams[place]
        begin.wait()
        started = last = time.perf_counter()
        while not stop.is_set() or not own:
            infer()
            now = time.perf_counter()
            own.append(round((now - last) * 1000.0, 4))
            last = now
        rates[place] = len(own) / (last - started)

    with ThreadPoolExecutor(len(streams), thread_name_prefix="stream") as pool:
        running = [pool.submit(keep_busy, place) for place in range(len(streams))]
        begin.wait()
        try:
            _wait(turn, samples, running)
        finally:
            stop.set()
        for stream in running:
            stream.result()
    return watch.done([value for own in samples for value in own], inferences_per_s=sum(rates))


def _wait(turn: Saturate, samples: Sequence[Sequence[float]], running: Sequence[Future[None]]) -> None:
    """Until both minimums are met, or a stream failed."""
    failed, _ = wait(running, timeout=turn.seconds, return_when=FIRST_EXCEPTION)
    while not failed and sum(map(len, samples)) < turn.queries:
        failed, _ = wait(running, timeout=_LOOK_SECONDS, return_when=FIRST_EXCEPTION)
