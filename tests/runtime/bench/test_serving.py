"""Images that come at random: when they come, what their latency is, and when it is given up."""

import threading
import time

import numpy as np
import pytest

from edgedistill.runtime.bench.messages import Saturate, Serve
from edgedistill.runtime.bench.serving import late_allowed, poisson_arrivals, serve
from edgedistill.runtime.bench.streams import saturate

SERVICE_SECONDS = 0.002


def slow() -> None:
    """An inference that takes 2 ms at least."""
    time.sleep(SERVICE_SECONDS)


def test_arrivals_are_a_poisson_process_that_a_seed_repeats():
    times = poisson_arrivals(50.0, 20_000, seed=3)
    assert np.array_equal(times, poisson_arrivals(50.0, 20_000, seed=3))
    assert not np.array_equal(times, poisson_arrivals(50.0, 20_000, seed=4))
    gaps = np.diff(times, prepend=0.0)
    assert gaps.min() > 0
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)  # exponential: both are equal
    counts = np.histogram(times, np.arange(0, times[-1], 1.0))[0]
    assert counts.var() == pytest.approx(counts.mean(), rel=0.2)  # Poisson: so are these


def test_every_image_is_answered_and_its_latency_holds_the_inference():
    answer = serve([slow, slow], Serve(rate=400.0, queries=60, limit_ms=1e6, seed=0))
    assert len(answer.samples_ms) == 60
    assert min(answer.samples_ms) >= 1000 * SERVICE_SECONDS
    assert 0 < answer.canary_floor_ms <= answer.canary_ms


def test_waiting_counts_whoever_is_late():
    """At ten times what one stream can do, the last of n images has waited for about n services."""
    count = 80
    answer = serve([slow], Serve(rate=10 / SERVICE_SECONDS, queries=count, limit_ms=1e6, seed=0))
    came = poisson_arrivals(10 / SERVICE_SECONDS, count, seed=0)[-1]
    least = 1000 * (count * SERVICE_SECONDS - came)
    assert least > 50
    assert answer.samples_ms[-1] >= least - 1  # an image is stamped in microseconds, the service in none


def test_it_is_given_up_once_too_many_were_late():
    assert (late_allowed(1000), late_allowed(99)) == (10, 0)
    answer = serve([slow], Serve(rate=10 / SERVICE_SECONDS, queries=1000, limit_ms=0.001, seed=0))
    assert len(answer.samples_ms) < 50


def test_a_stream_that_fails_ends_it():
    def broken():
        if threading.current_thread().name.startswith("stream"):
            raise RuntimeError("the library gave up")

    with pytest.raises(RuntimeError, match="the library gave up"):
        serve([broken], Serve(rate=1000.0, queries=10_000, limit_ms=1e6, seed=0))
    with pytest.raises(RuntimeError, match="the library gave up"):
        saturate([broken, slow], Saturate(queries=10_000, seconds=60.0))


def test_all_streams_are_busy_at_once():
    lock, under_way, most = threading.Lock(), set(), []

    def infer():
        with lock:
            under_way.add(threading.get_ident())
            most.append(len(under_way))
        slow()
        with lock:
            under_way.discard(threading.get_ident())

    answer = saturate([infer] * 3, Saturate(queries=60, seconds=0.0))
    assert max(most) == 3
    assert len(answer.samples_ms) >= 60
    assert 0 < answer.inferences_per_s <= 3 / SERVICE_SECONDS
