"""Inside the measured process: how long it measures, when its canary runs, whose memory it reports."""

from pathlib import Path

import numpy as np
import pytest
from bench_cases import run

from edgedistill.runtime.bench import measuring, running
from edgedistill.runtime.bench.messages import Measure


def test_both_minimums_must_be_met(monkeypatch):
    monkeypatch.setattr(measuring, "timed", lambda infer: (250.0, infer()))
    calls = []
    assert len(measuring.measure(lambda: calls.append(1), Measure(queries=7, seconds=0.0)).samples_ms) == 7
    assert len(calls) == 3 + 7
    long = measuring.measure(lambda: None, Measure(queries=1, seconds=10.0)).samples_ms
    assert long == [250.0] * 40


def test_the_canary_runs_before_between_and_after(monkeypatch):
    bursts, calls = [], []
    monkeypatch.setattr(measuring.Canary, "burst", lambda self: bursts.append(len(calls)) or self._times.append(0.001))
    monkeypatch.setattr(measuring, "timed", lambda infer: (2.0, infer()))
    measuring.measure(lambda: calls.append(1), Measure(queries=60, seconds=0.0))
    # Every 50 ms of short inferences, each burst followed by one that is not counted: 25 counted ones between two.
    assert bursts == [3, 28, 54, 65]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="VmHWM is Linux's")
def test_a_worker_s_memory_is_not_its_parent_s(tiny_bundle, monkeypatch):
    ballast = np.ones(60_000_000)  # 480 MB, resident
    monkeypatch.setattr(running, "save_or_say", lambda source, kind, report, **_: report)
    (entry,) = run(tiny_bundle, monkeypatch, rounds=1).artifacts
    assert measuring.peak_rss() > ballast.nbytes
    assert entry.peak_rss_bytes < ballast.nbytes
