"""What a scenario asks, what it refuses in one line, and what it reports of a real artifact."""

import numpy as np
import pytest
from bench_cases import run

from edgedistill import runtime
from edgedistill.runtime.bench.scenarios import choose_scenario, settings_of
from edgedistill.runtime.bundle import open_bundle, read_runs, read_samples
from edgedistill.runtime.device import usable_cores
from edgedistill.runtime.errors import ConfigError


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ((None, None, None), "single"),
        ((None, (1,), None), "single"),
        ((None, (1, 4), None), "batch"),
        ((None, None, 50.0), "server"),
        (("batch", (1,), None), "batch"),
        (("throughput", (4,), None), "throughput"),
    ],
)
def test_the_scenario_follows_from_what_is_asked(asked, chosen):
    assert choose_scenario(*asked) == chosen


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scenario": "offline"}, "unknown scenario 'offline': one of single, batch, throughput, server"),
        ({"scenario": "single", "batch_size": 4}, "--scenario single asks for one image at a time, not 4"),
        ({"scenario": "server"}, "--max-p99-ms 50"),
        ({"scenario": "server", "max_p99_ms": float("nan")}, "--max-p99-ms 50"),
        ({"scenario": "batch", "max_p99_ms": 3.0}, "--max-p99-ms is the limit of --scenario server, not of batch"),
        ({"streams": 2}, "--streams goes with the scenarios throughput and server"),
        ({"scenario": "throughput", "streams": 0}, "--streams 0: needs 1 to 1024"),
        ({"scenario": "throughput", "photo": "x.jpg"}, "is timed for single images of a bundle, not of the scenario"),
        ({"batch_size": ()}, "a sweep"),
        ({"batch_size": 2.0}, "needs whole numbers from 1 on"),
        ({"batch_size": (1, 5)}, "ort-fp32: takes batches of 1 to 4 images, not 5"),
        ({"threads": (1, 0)}, "threads 0: needs 1 to 1024"),
    ],
)
def test_what_has_no_sense_is_one_line_before_anything_is_started(tiny_bundle, options, told):
    with pytest.raises(ConfigError) as refused:
        runtime.benchmark(tiny_bundle, **options)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_scenario_s_usual_settings(tiny_bundle):
    artifact = open_bundle(tiny_bundle).manifest.artifacts[0]

    def settings(scenario, batch_sizes=None, threads=(None,), streams=None):
        return settings_of(
            artifact, scenario, batch_sizes=batch_sizes, threads=threads, streams=streams, device=None, size=None
        )

    (single,), (batch,), (throughput,) = map(settings, ("single", "batch", "throughput"))
    assert (single.batch_size, single.threads, single.streams) == (1, None, 1)
    assert batch.batch_size == 4  # 8 as in MLPerf, but it takes 4 at most
    assert (throughput.batch_size, throughput.threads, throughput.streams) == (1, 1, usable_cores())
    (pinned,) = settings("server", threads=(usable_cores(),))
    assert (pinned.threads, pinned.streams) == (usable_cores(), 1)
    sweep = settings("batch", batch_sizes=(1, 4, 1), threads=(1, 2))
    assert [one.label for one in sweep] == [f"batch {b}, threads {t}" for b in (1, 4) for t in (1, 2)]


def test_a_sweep_measures_every_combination_side_by_side(make_tiny_bundle, tmp_path, monkeypatch):
    root, said = make_tiny_bundle(tmp_path / "b"), []
    report = run(root, monkeypatch, batch_size=(1, 4), rounds=1, progress=said.append)
    one, four = report.artifacts
    assert (report.scenario, one.name, four.name) == ("batch", "ort-fp32 (batch 1)", "ort-fp32 (batch 4)")
    assert one.artifact == four.artifact == "ort-fp32"
    assert (one.batch_size, four.batch_size) == (1, 4)
    assert report.throughput(four) == pytest.approx(4000 / four.mean_ms)
    assert [text for text in said if text.startswith("round")] == [f"round 1 of 1: {name.name}" for name in (one, four)]
    assert set(read_samples_of(root)) == {one.name, four.name}


def test_throughput_keeps_several_streams_busy(make_tiny_bundle, tmp_path, monkeypatch):
    report = run(make_tiny_bundle(tmp_path / "b"), monkeypatch, scenario="throughput", batch_size=4, streams=2)
    (entry,) = report.artifacts
    assert (entry.latency, entry.server, entry.streams, entry.offline.streams) == (None, None, 2, 2)
    rates = [4 * turn.inferences_per_s for turn in entry.turns]
    assert entry.offline.images_per_s.estimate == pytest.approx(np.mean(rates))
    assert entry.offline.images_per_s.low < np.mean(rates) < entry.offline.images_per_s.high
    assert report.throughput(entry) == entry.offline.images_per_s.estimate
    assert entry.effective["threads"] == "1"
    assert entry.p90_ms is None  # a latency beside others is not the headline of one alone
    assert len(entry.samples_ms) >= 100
    assert entry.spans is None


def test_each_process_is_told_and_loading_is_their_median(make_tiny_bundle, tmp_path, monkeypatch):
    from edgedistill.runtime.bench.plan import PLANS, BenchPlan

    root = make_tiny_bundle(tmp_path / "b")
    report = run(root, monkeypatch, rounds=2, one_at_a_time=True)
    assert [turn.process for turn in report.artifacts[0].turns] == [1, 2]
    assert report.artifacts[0].processes == 2
    monkeypatch.setitem(PLANS, "smoke", BenchPlan(queries=20, seconds=0.0, rounds=4, processes=2))
    report = runtime.benchmark(root, artifacts=["ort-fp32"], preset="smoke")
    assert [turn.process for turn in report.artifacts[0].turns] == [1, 1, 2, 2]


def test_the_presets_begin_new_processes_where_they_say():
    from edgedistill.runtime.bench.plan import PLANS, BenchPlan

    assert [PLANS["quick"].begins_process(number) for number in (1, 2, 5, 6)] == [False, True, True, True]
    assert not any(PLANS["demo"].begins_process(number) for number in range(1, 7))
    halves = BenchPlan(queries=1, seconds=0.0, rounds=4, processes=2)
    assert [halves.begins_process(number) for number in range(1, 7)] == [False, False, True, False, True, False]


def read_samples_of(root):
    (saved,) = (root / "results").rglob("*.json")
    assert read_runs(root)
    return read_samples(saved)
