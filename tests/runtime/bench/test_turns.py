"""Turns: which are measured again, which count, which evidence they carry, which processes they hold."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from bench_cases import gated, mark_all, run

from edgedistill.runtime.bench import artifact_run


def test_disturbed_turns_are_measured_again_up_to_a_limit_and_decide_no_gate(make_tiny_bundle, tmp_path, monkeypatch):
    said = []
    report = run(gated(make_tiny_bundle(tmp_path / "b"), 1e-6), monkeypatch, mark_all, rounds=4, progress=said.append)
    (artifact,) = report.artifacts
    assert [turn.round for turn in artifact.turns] == [1, 2, 3, 4, 5, 6]
    assert report.rounds == 6
    assert said[-2] == "round 6 (4 were planned), disturbed turns again: ort-fp32"
    assert report.disturbed
    assert artifact.disturbed == "6 of 6 turns disturbed: other processes used 70 % of the cores"
    assert artifact.latency.samples == len(artifact.samples_ms)  # too few quiet ones: all count, and it is said
    (gate,) = artifact.gates
    assert (gate.verdict, report.verdict, report.exit_code) == ("undecided", "undecided", 4)
    assert "other processes used 70 % of the cores; measure on a quiet machine" in gate.sentence


def test_only_quiet_turns_count_where_enough_are(make_tiny_bundle, tmp_path, monkeypatch):
    def mark_the_first(turns):
        return tuple(
            msgspec.structs.replace(turn, disturbed_by={"steal": 0.5} if turn.round == 1 else {}) for turn in turns
        )

    report = run(gated(make_tiny_bundle(tmp_path / "b"), 1e4), monkeypatch, mark_the_first, rounds=4)
    (artifact,) = report.artifacts
    assert [turn.round for turn in artifact.turns] == [1, 2, 3, 4, 5]  # one again, and no more
    quiet = [value for values in artifact.turn_samples()[1:] for value in values]
    assert artifact.latency.samples == len(quiet) == 200
    assert artifact.p50_ms == pytest.approx(np.median(quiet))
    assert (artifact.disturbed, artifact.disturbed_turns, report.disturbed) == ("", 1, False)
    assert artifact.evidence == "the hypervisor gave 50 % of the time to other machines"
    assert report.verdict == "passed"


def test_a_gate_is_undecided_where_the_evidence_is_one_turn(make_tiny_bundle, tmp_path, monkeypatch):
    report = run(gated(make_tiny_bundle(tmp_path / "b"), 1e-6), monkeypatch, rounds=1)
    (gate,) = report.artifacts[0].gates
    assert gate.verdict == "undecided"
    assert "one turn: no interval; a longer preset would tell" in gate.sentence


def test_evidence_comes_with_every_turn(make_tiny_bundle, tmp_path, monkeypatch):
    report = run(make_tiny_bundle(tmp_path / "b"), monkeypatch)
    for turn in report.artifacts[0].turns:
        seen = turn.evidence
        assert 0 < seen.canary_floor_ms <= seen.canary_ms
        assert seen.seconds > 0
        if Path("/proc/self/schedstat").exists():
            assert min(seen.switches, seen.waited) >= 0


def test_one_at_a_time_holds_one_process(make_tiny_bundle, tmp_path, monkeypatch):
    alive, most, starts = set(), [], []

    class Counted(artifact_run.Worker):
        def __init__(self):
            super().__init__()
            alive.add(self)
            starts.append(self)
            most.append(len(alive))

        def close(self):
            super().close()
            alive.discard(self)

    monkeypatch.setattr(artifact_run, "Worker", Counted)
    root = make_tiny_bundle(tmp_path / "b")
    report = run(root, monkeypatch, artifacts=["ort-fp32", "ov-fp32"], one_at_a_time=True)
    assert (max(most), len(starts), len(alive)) == (1, 4, 0)
    assert report.one_at_a_time
    assert [len(artifact.turns) for artifact in report.artifacts] == [2, 2]
    most.clear()
    run(root, monkeypatch, artifacts=["ort-fp32", "ov-fp32"])
    assert (max(most), len(starts), len(alive)) == (2, 6, 0)


def test_a_process_killed_while_it_measures_stops_nothing(make_tiny_bundle, tmp_path, monkeypatch):
    made = []

    class Known(artifact_run.Worker):
        def __init__(self):
            super().__init__()
            made.append(self)

    def kill_the_first(text):
        if text == "round 2 of 2: ov-fp32":
            made[0]._process.kill()

    monkeypatch.setattr(artifact_run, "Worker", Known)
    root = make_tiny_bundle(tmp_path / "b")
    report = run(root, monkeypatch, artifacts=["ort-fp32", "ov-fp32"], progress=kill_the_first)
    killed, other = report.artifacts
    assert killed.status == "failed"
    assert killed.reason.startswith("its process ended ")
    assert (other.status, len(other.turns)) == ("ran", 2)
