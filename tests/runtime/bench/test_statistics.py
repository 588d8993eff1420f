"""Percentiles, their intervals over turns, and what a report keeps when its samples are stored apart."""

import msgspec
import numpy as np
import pytest

from edgedistill.runtime.bench.plan import PLANS, BenchPlan, queries_for
from edgedistill.runtime.bench.report import ArtifactBench, BenchReport
from edgedistill.runtime.bench.statistics import quantile, summarise, throttled
from edgedistill.runtime.bench.turn import Evidence, Turn
from edgedistill.runtime.verdicts import judge_at_most

QUIET = Evidence(seconds=1.0, canary_ms=0.02, canary_floor_ms=0.02)


@pytest.mark.parametrize(("p", "least"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000), (0.999, 10000)])
def test_a_percentile_needs_ten_samples_beyond_it(p, least):
    assert queries_for(p) == least
    few = quantile([range(least - 1)], p)
    assert few.estimate is None
    assert f"needs {least} inferences, there are {least - 1}" in few.note
    assert quantile([range(least)], p).estimate == pytest.approx(p * (least - 1))


def test_statistics_are_of_all_samples():
    found = summarise([[1.0] * 60, [1.0] * 39 + [1000.0]])
    assert found.p50.estimate == 1.0
    assert found.p90.estimate == 1.0
    assert found.p95.estimate is None
    assert found.mean_ms == pytest.approx(10.99)
    assert (found.samples, found.turns) == (100, 2)


def test_the_interval_by_sectioning_in_figures():
    # The turns' medians are 1, 2 and 3, that of all is 2: s = sqrt((1 + 0 + 1) / 2) = 1, t(0.975, 2) = 4.3027.
    found = quantile([[1.0] * 20, [2.0] * 20, [3.0] * 20], 0.5)
    assert found.estimate == 2.0
    assert found.high == pytest.approx(2.0 + 4.302653 / np.sqrt(3))
    assert found.low == 1.0  # no quantile lies below the smallest sample
    assert found.confidence == 0.95
    assert "3 turns" in found.note


def test_one_turn_has_no_interval():
    found = quantile([np.arange(100.0)], 0.5)
    assert (found.low, found.high, found.note) == (None, None, "one turn: no interval")


@pytest.mark.parametrize(("turns", "per_turn", "p"), [(4, 26, 0.5), (5, 26, 0.9), (12, 90, 0.9)])
def test_the_interval_covers_where_turns_differ(turns, per_turn, p):
    """The turns' speed differs by 3 %, a turn's samples by 5 %. A binomial interval would cover in 40 to 78 %."""
    random = np.random.default_rng(0)
    true = np.quantile(random.lognormal(0, np.hypot(0.03, 0.05), 1_000_000), p)
    covered = 0
    for _ in range(400):
        speed = random.lognormal(0, 0.03, turns)[:, None]
        found = quantile(list(speed * random.lognormal(0, 0.05, (turns, per_turn))), p)
        covered += found.low <= true <= found.high
    assert 0.90 <= covered / 400 <= 0.98


def test_throttling_is_a_slower_last_third():
    assert throttled([1] * 20 + [1.05] * 10 + [1.2] * 10)
    assert not throttled([1] * 30 + [1.09] * 15)
    assert not throttled([1] * 20 + [9] + [1] * 20)
    assert not throttled([1, 2])


def test_the_plans_give_the_headline_and_bounded_repetitions():
    assert PLANS["demo"].queries >= queries_for(0.90)
    assert [plan.most_rounds for plan in PLANS.values()] == [6, 6, 8, 18]


def report(*gates) -> BenchReport:
    samples = tuple(float(value) for value in range(1, 31))
    turns = tuple(
        Turn(round=number, samples=count, p50_ms=1.0, p90_ms=1.0, evidence=QUIET)
        for number, count in ((1, 10), (2, 20))
    )
    artifact = ArtifactBench(
        name="a",
        backend="onnxruntime",
        precision="fp32",
        status="ran",
        bytes=1,
        latency=summarise([samples[:10], samples[10:]]),
        turns=turns,
        samples_ms=samples,
        gates=gates,
    )
    return BenchReport(
        bundle="b",
        manifest_sha256="",
        preset="demo",
        plan=BenchPlan(queries=30, seconds=0.0, rounds=2),
        rounds=2,
        batch_size=2,
        preprocess_ms=None,
        load_start=(),
        load_end=(),
        temperature_start=None,
        temperature_end=None,
        artifacts=(artifact,),
        device="d",
        created="",
    )


def test_a_report_s_samples_can_be_stored_apart():
    whole = report()
    bare = whole.without_samples()
    (artifact,) = bare.artifacts
    assert artifact.samples_ms == ()
    assert artifact.p50_ms == 15.5
    assert bare.throughput(artifact) == pytest.approx(2 * 1000 / 15.5)
    assert len(msgspec.json.encode(bare)) < len(msgspec.json.encode(whole))
    back = msgspec.json.decode(msgspec.json.encode(bare), type=BenchReport).with_samples(whole.samples())
    assert back == whole
    first, second = back.artifacts[0].turn_samples()
    assert (first[0], first[-1], second[0], second[-1]) == (1.0, 10.0, 11.0, 30.0)
    with pytest.raises(ValueError, match="30 samples, there are 3"):
        bare.with_samples({"a": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="30 samples, there are 0"):
        artifact.turn_samples()


def test_a_report_of_a_later_version_is_read():
    plain = {**msgspec.to_builtins(report()), "new": 1}
    plain["artifacts"][0]["turns"][0]["evidence"]["pressure"] = 0.5
    assert msgspec.convert(plain, BenchReport).artifacts[0].turns[0].quiet


def test_a_report_of_the_first_versions_is_read():
    """They had neither turns nor `latency`, and a canary of their own."""
    now = msgspec.to_builtins(report())
    plain = {key: value for key, value in now.items() if key not in ("rounds", "interrupted", "one_at_a_time")}
    (artifact,) = plain["artifacts"]
    kept = {key: value for key, value in artifact.items() if key not in ("latency", "turns", "disturbed")}
    before = msgspec.convert({**plain, "canary_ms": [1.0, 1.1], "artifacts": [kept]}, BenchReport)
    assert before.artifacts[0].p50_ms == 15.5
    assert before.throughput(before.artifacts[0]) == pytest.approx(2 * 1000 / 15.5)
    assert (before.disturbed, before.verdict, before.unseen) == (False, "not judged", ())


def test_verdicts_and_exit_codes():
    def judged(limit: float, doubt: str = "") -> BenchReport:
        return report(judge_at_most("max_p95_ms", 2.0, limit, what="p95 latency", unit="ms", doubt=doubt))

    assert (report().verdict, report().passed, report().exit_code) == ("not judged", False, 0)
    assert (judged(3.0).verdict, judged(3.0).passed, judged(3.0).exit_code) == ("passed", True, 0)
    assert (judged(1.0).verdict, judged(1.0).exit_code) == ("failed", 1)
    assert (judged(3.0, "disturbed").verdict, judged(3.0, "disturbed").exit_code) == ("undecided", 4)
    assert (judged(1.0, "disturbed").verdict, judged(1.0, "disturbed").passed) == ("undecided", False)
