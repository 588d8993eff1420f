"""The search for the highest rate, on a made-up server whose queue is computed instead of waited for."""

from typing import ClassVar

import numpy as np
import pytest
from bench_cases import run

from edgedistill import runtime
from edgedistill.runtime.bench import server_run
from edgedistill.runtime.bench.figures import Trial
from edgedistill.runtime.bench.messages import Measured
from edgedistill.runtime.bench.plan import BenchPlan
from edgedistill.runtime.bench.rate_search import RESOLUTION, RateSearch
from edgedistill.runtime.bench.report import BenchInterruptedError
from edgedistill.runtime.bench.scenarios import Setting
from edgedistill.runtime.bench.serving import poisson_arrivals
from edgedistill.runtime.errors import InterruptedRunError

SERVICE = 0.010  # seconds of every inference: the capacity is 100 images a second
QUERIES = 8_000


def latencies(rate: float, seed: int) -> np.ndarray:
    """Of a slow backend with one stream and equal services, by Lindley's recursion, in milliseconds."""
    free, found = 0.0, np.empty(QUERIES)
    for place, came in enumerate(poisson_arrivals(rate, QUERIES, seed)):
        free = max(free, came) + SERVICE
        found[place] = free - came
    return 1000 * found


def search(limit_ms: float, capacity: float = 1 / SERVICE) -> tuple[Trial | None, RateSearch]:
    def attempt(rate: float, seed: int) -> Trial:
        p99 = float(np.quantile(latencies(rate, seed), 0.99))
        return Trial(rate=rate, queries=QUERIES, p99_ms=p99, met=p99 <= limit_ms)

    made = RateSearch(attempt, capacity)
    return made.highest(), made


@pytest.mark.parametrize("limit_ms", [20.0, 50.0])
def test_the_highest_rate_that_meets_the_limit_is_found_and_confirmed(limit_ms):
    found, made = search(limit_ms)
    assert found is made.trials[-1]
    assert found.met
    assert found.p99_ms <= limit_ms
    # Other arrivals again: somewhat below it holds, somewhat above it does not.
    assert np.quantile(latencies(found.rate * 0.85, 99), 0.99) <= limit_ms
    assert np.quantile(latencies(found.rate * 1.15, 99), 0.99) > limit_ms
    passed = [trial.rate for trial in made.trials if trial.met]
    failed = [trial.rate for trial in made.trials if not trial.met]
    assert min(failed) / max(passed) <= 1 + RESOLUTION or min(failed) < max(passed)
    assert len(made.trials) <= 12
    assert found.rate < 1 / SERVICE


def test_a_limit_below_one_inference_is_met_by_no_rate():
    found, made = search(9.0)
    assert found is None
    assert len(made.trials) == 2  # the capacity, and a rate at which nothing ever waits


def test_a_capacity_that_was_measured_too_low_is_exceeded():
    found, _ = search(50.0, capacity=30.0)
    assert found.rate > 45


def test_a_rate_that_passed_by_luck_is_lowered_until_other_arrivals_pass():
    tried = []

    def attempt(rate: float, seed: int) -> Trial:
        lucky = seed < 3 and rate < 60
        tried.append(rate)
        met = lucky or rate < 46
        return Trial(rate=rate, queries=1000, p99_ms=1.0 if met else None, met=met)

    found = RateSearch(attempt, 100.0).highest()
    assert found is not None
    assert found.met
    assert found.rate < 46


def shorten(monkeypatch) -> None:
    """A p99 of so few images in so short a time is none, but the way to it is the same."""
    monkeypatch.setattr(server_run, "queries_for", lambda p: 100)
    monkeypatch.setattr(server_run, "TRIAL_LIMITS", 0)


def test_a_real_artifact_serves(make_tiny_bundle, tmp_path, monkeypatch):
    shorten(monkeypatch)
    said = []
    root = make_tiny_bundle(tmp_path / "b")
    report = run(root, monkeypatch, scenario="server", max_p99_ms=1e4, streams=1, progress=said.append)
    (entry,) = report.artifacts
    assert (report.scenario, report.max_p99_ms, entry.latency) == ("server", 1e4, None)
    assert entry.server.rate > 0
    assert entry.server.p99_ms <= 1e4
    assert entry.server.trials[-1].met
    assert len(entry.server.trials) == len(entry.turns)
    assert len(entry.samples_ms) == sum(turn.samples for turn in entry.turns)
    assert report.throughput(entry) == entry.server.rate
    assert said[1].endswith(": all streams busy")
    none = run(root, monkeypatch, scenario="server", max_p99_ms=1e-6, streams=1).artifacts[0]
    assert (none.server.rate, none.status) == (None, "ran")
    assert (
        runtime.compare(report, run(root, monkeypatch, scenario="server", max_p99_ms=1e4, streams=1))
        .artifacts[0]
        .verdict
        == "cannot tell"
    )


def test_a_trial_lasts_until_a_queue_that_grows_would_be_too_long():
    """At 3 % above the capacity, an image that comes after 1 / 3 % of the limit has waited for the limit."""

    class Run:
        name, setting, server = "a", Setting(streams=1), None
        asked: ClassVar[list] = []

        def measured(self, task, doing):
            return Measured([1.0], 1.0, 1.0, 1.0, None, None, None, inferences_per_s=100.0)

        def watched(self, number, task, own, doing):
            self.asked.append(task)
            return Measured([1.0] * (task.queries if task.rate < 50 else 1), 1.0, 1.0, 1.0, None, None, None)

    run = Run()
    server_run.search_rate(run, BenchPlan(queries=1, seconds=0.0, rounds=1), 3000.0, [], lambda text: None)
    assert all(task.queries >= max(1000, task.rate * 3 / RESOLUTION) for task in run.asked)
    assert 40 < run.server.rate < 50


def test_a_process_that_dies_during_a_trial_is_failed(make_tiny_bundle, tmp_path, monkeypatch):
    real = server_run.ArtifactRun.watched

    def die(self, *arguments):
        self.worker._process.kill()
        return real(self, *arguments)

    monkeypatch.setattr(server_run.ArtifactRun, "watched", die)
    root = make_tiny_bundle(tmp_path / "b")
    with pytest.raises(runtime.EdgedistillError, match="its process ended"):
        run(root, monkeypatch, scenario="server", max_p99_ms=100.0)


def test_interrupted_the_complete_searches_are_kept(make_tiny_bundle, tmp_path, monkeypatch):
    shorten(monkeypatch)

    def interrupt(text: str) -> None:
        if text == "ov-fp32: all streams busy":
            raise KeyboardInterrupt

    options = {"scenario": "server", "max_p99_ms": 1e4, "streams": 1, "artifacts": ["ort-fp32", "ov-fp32"]}
    with pytest.raises(BenchInterruptedError, match="the first 1 round of") as caught:
        run(make_tiny_bundle(tmp_path / "b"), monkeypatch, progress=interrupt, **options)
    done, left = caught.value.report.artifacts
    assert done.server.rate > 0
    assert (left.status, left.reason) == ("could_not_run", "its search was interrupted")
    with pytest.raises(InterruptedRunError, match="nothing was measured yet"):
        run(make_tiny_bundle(tmp_path / "c"), monkeypatch, progress=interrupt, **{**options, "artifacts": ["ov-fp32"]})
