"""Ctrl-C while it measures: complete rounds are kept, and nothing less."""

import pytest
from bench_cases import run

from edgedistill.runtime.bench.report import BenchInterruptedError, BenchReport
from edgedistill.runtime.bundle import latest_run, read_runs
from edgedistill.runtime.errors import InterruptedRunError


class Interrupt:
    """Ctrl-C when the progress says `when`."""

    def __init__(self, when: str) -> None:
        self.when = when

    def __call__(self, text: str) -> None:
        if text == self.when:
            raise KeyboardInterrupt


@pytest.mark.parametrize("when", ["loading ort-fp32", "round 1 of 3: ort-fp32"])
def test_interrupted_before_a_round_is_complete_nothing_is_kept(make_tiny_bundle, tmp_path, monkeypatch, when):
    root = make_tiny_bundle(tmp_path / "b")
    with pytest.raises(InterruptedRunError, match="nothing was measured yet") as caught:
        run(root, monkeypatch, rounds=3, progress=Interrupt(when))
    assert caught.value.exit_code == 130
    assert read_runs(root) == {}


@pytest.mark.parametrize(("when", "rounds"), [("round 2 of 3: ort-fp32", 1), ("round 3 of 3: ov-fp32", 2)])
def test_interrupted_later_the_complete_rounds_are_kept(make_tiny_bundle, tmp_path, monkeypatch, when, rounds):
    root = make_tiny_bundle(tmp_path / "b")
    with pytest.raises(BenchInterruptedError, match=rf"the first {rounds} rounds? of 3 planned: kept in") as caught:
        run(root, monkeypatch, rounds=3, artifacts=["ort-fp32", "ov-fp32"], progress=Interrupt(when))
    report = caught.value.report
    assert report.saved in str(caught.value)
    assert (report.interrupted, report.rounds) == (True, rounds)
    assert [len(artifact.turns) for artifact in report.artifacts] == [rounds, rounds]
    assert all(artifact.latency.samples == 34 * rounds for artifact in report.artifacts)
    assert latest_run(root, "bench").decode(BenchReport).interrupted
