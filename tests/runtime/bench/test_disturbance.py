"""When a turn counts as disturbed: the decision on evidence made up for it, and the counters' arithmetic."""

import os

import msgspec
import pytest

from edgedistill.runtime.bench import machine
from edgedistill.runtime.bench.canary import Canary
from edgedistill.runtime.bench.disturbance import (
    THRESHOLDS,
    disturbance,
    in_words,
    judge_turns,
    turns_needed,
    unseen,
    worst,
)
from edgedistill.runtime.bench.machine import CpuTime, Interference, shares
from edgedistill.runtime.bench.turn import Evidence, Turn


def turn(p50=10.0, p90=10.5, canary=0.021, **evidence) -> Turn:
    """A quiet turn on Linux, but for what is given."""
    seen = {"steal": 0.0, "others": 0.01, "switches": 3.0, "waited": 0.002, **evidence}
    return Turn(
        round=1,
        samples=100,
        p50_ms=p50,
        p90_ms=p90,
        evidence=Evidence(seconds=1.0, canary_ms=canary, canary_floor_ms=0.02, **seen),
    )


def blind(**values) -> Turn:
    """Where there is no /proc: macOS, Windows."""
    return turn(**{"steal": None, "others": None, "switches": None, "waited": None, **values})


def marks(*turns) -> list[set[str]]:
    return [set(judged.disturbed_by) for judged in judge_turns(turns)]


def test_quiet_turns_are_quiet():
    assert marks(turn(), turn(p50=14.5, p90=18.0), turn(canary=0.028), turn(switches=30.0)) == [set()] * 4
    assert judge_turns(()) == ()


@pytest.mark.parametrize(
    ("evidence", "kinds"),
    [
        ({"others": 0.11}, {"others"}),
        ({"steal": 0.06}, {"steal"}),
        ({"canary": 0.031}, {"canary"}),
        ({"p50": 16.1, "p90": 16.2}, {"p50"}),
        ({"p90": 21.1}, {"p90"}),
        ({"p90": 120.0}, {"p90", "tail"}),  # W21: the canary said 1.00 while p90 was twelve times p50
        ({"others": 0.05, "waited": 0.2, "switches": 110.0}, {"waited", "switches"}),
        # More threads than cores: a process waits for itself, which is its own doing.
        ({"others": 0.02, "waited": 0.9, "switches": 900.0}, set()),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
def test_each_evidence_marks_the_turn_it_was_seen_in(evidence, kinds, position):
    turns = [turn(), turn(), turn(), turn()]
    turns[position] = turn(**evidence)
    found = marks(*turns)
    assert found.pop(position) == kinds
    assert found == [set()] * 3


@pytest.mark.parametrize(("threshold", "field"), [("others", "others"), ("steal", "steal")])
def test_the_thresholds_are_where_they_say(threshold, field):
    limit = getattr(THRESHOLDS, threshold)
    assert marks(turn(**{field: limit}), turn()) == [set(), set()]
    assert marks(turn(**{field: limit + 1e-6}), turn()) == [{field}, set()]
    tighter = THRESHOLDS._replace(**{threshold: limit / 2})
    assert not judge_turns([turn(**{field: limit})], tighter)[0].quiet


def test_differences_below_the_clock_s_jitter_are_no_evidence():
    assert marks(turn(p50=0.01, p90=0.015), turn(p50=0.03, p90=0.06)) == [set(), set()]
    assert marks(turn(p50=0.01, p90=0.015), turn(p50=0.02, p90=0.08), turn(p50=0.01, p90=0.015))[1] == {"p90", "tail"}


def test_two_busy_processes_on_two_cores_disturb_every_turn_even_if_all_are_alike():
    """Evidence of such a run: p50 and p90 have no quiet turn to be compared with."""
    alike = [turn(others=0.7, switches=110.0, waited=0.6, canary=0.08, p90=40.0)] * 6
    assert all("others" in found for found in marks(*alike))
    assert all(found == {"canary", "tail"} for found in marks(*[blind(canary=0.08, p90=40.0)] * 6))


def test_without_proc_the_canary_and_the_own_floor_decide():
    assert marks(blind(), blind(canary=0.05), blind(p50=20.0, p90=22.0), blind()) == [
        set(),
        {"canary"},
        {"p50", "p90"},
        set(),
    ]
    assert len(unseen([blind()])) == 4
    assert unseen([turn()]) == ()
    assert unseen([]) == ()


def test_a_slowness_that_stays_while_nobody_else_computes_is_the_device_s_own():
    hot = turn(p50=17.0, p90=18.5)
    assert marks(turn(), turn(), hot, hot) == [set()] * 4
    assert marks(turn(), hot, hot, turn()) == [set(), {"p50"}, {"p50"}, set()]  # it passed: not heat
    assert marks(turn(), turn(), turn(), hot) == [set(), set(), set(), {"p50"}]  # too short to tell
    assert marks(blind(), blind(), blind(p50=17.0), blind(p50=17.0))[2:] == [{"p50"}] * 2  # nobody knows who else
    beside = turn(p50=17.0, others=0.5)
    assert marks(turn(), turn(), beside, beside)[2:] == [{"others", "p50"}] * 2


def test_an_artifact_is_disturbed_when_fewer_than_half_its_planned_turns_were_quiet():
    quiet, busy = turn(), turn(others=0.6)
    assert [turns_needed(rounds) for rounds in (1, 2, 4, 5, 12)] == [1, 1, 2, 3, 6]
    assert disturbance(judge_turns([quiet, quiet, busy, busy, busy, busy]), 4, 400) == ""
    said = disturbance(judge_turns([quiet, busy, busy, turn(others=0.81), busy, busy]), 4, 400)
    assert said == "5 of 6 turns disturbed: other processes used 81 % of the cores"


@pytest.mark.parametrize(
    ("samples", "queries", "disturbed"),
    [(33, 100, True), (50, 100, False), (50, 1000, False), (9, 64, True), (10, 64, False), (2, 4, False), (1, 4, True)],
)
def test_quiet_turns_too_short_for_the_headline_are_not_enough(samples, queries, disturbed):
    """Two of four turns, which are enough if their samples are: 100 for p90, 20 for p50 where no more were planned."""
    quiet = msgspec.structs.replace(turn(), samples=samples)
    judged = judge_turns([quiet, quiet, turn(others=0.6), turn(others=0.6)])
    assert bool(disturbance(judged, 4, queries)) == disturbed
    assert disturbance(judge_turns([quiet] * 4), 4, 1000) == ""  # all there is, and nothing against it


def test_evidence_in_words():
    judged = judge_turns([turn(), turn(others=0.4, switches=100.4, p90=31.0), turn(steal=0.2)])
    assert in_words(worst(judged)) == (
        "other processes used 40 % of the cores; the hypervisor gave 20 % of the time to other machines; "
        "it lost its core 100 times a second; p90 was 3.0x its quiet floor; p90 was 3.1x p50"
    )
    assert in_words({"pressure": 0.25}) == "pressure 0.25"  # of a later version


STAT = """cpu  999 9 9 999 9 9 9 9 9 9
cpu0 100 10 50 800 5 1 2 30 70 0
cpu1 1000 0 0 0 0 0 0 0 0 0
cpu10 5000 0 0 0 0 0 0 0 0 0
intr 1 2 3
"""


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="Linux's clock ticks")
def test_proc_stat_is_read_for_the_cores_that_may_be_used():
    tick = os.sysconf("SC_CLK_TCK")
    busy, stolen = machine._parse_stat(STAT, {0})
    assert busy * tick == pytest.approx(100 + 10 + 50 + 1 + 2)  # guests are part of user; idle and iowait are not busy
    assert stolen * tick == pytest.approx(30)
    assert machine._parse_stat(STAT, {0, 1})[0] * tick == pytest.approx(1163)
    with pytest.raises(ValueError, match="no line"):
        machine._parse_stat(STAT, {7})


def test_shares(monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    before = CpuTime(at=10.0, busy=100.0, stolen=1.0, own=50.0)
    found = shares(before, CpuTime(at=12.0, busy=103.0, stolen=2.0, own=51.0))
    assert found.others == pytest.approx((3 - 1) / (2 * 2))
    assert found.steal == pytest.approx(1 / (3 + 1))
    one_step = shares(before, CpuTime(at=12.0, busy=101.01, stolen=1.01, own=51.0))
    assert (one_step.others, one_step.steal) == (0.0, 0.0)
    assert shares(before, CpuTime(at=12.0, busy=100.0, stolen=1.0, own=51.0)) is None  # counters that stand still
    assert shares(None, before) is None


def test_without_proc_stat_there_are_no_counters(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert machine.read_cpu_time([]) is None
    assert machine.read_interference().waited is None


@pytest.mark.skipif(not machine._PROC.joinpath("stat").exists(), reason="Linux's counters")
def test_the_own_process_is_counted_as_own():
    before = machine.read_cpu_time([os.getppid()])
    until = machine.time.process_time() + 0.2
    while machine.time.process_time() < until:
        pass
    after = machine.read_cpu_time([os.getppid()])
    assert after.own - before.own >= 0.2
    assert after.busy - before.busy >= 0.1
    with pytest.raises(FileNotFoundError):
        machine._process_seconds(2**31 - 1)


def test_interference_is_of_the_time_between_and_of_living_threads():
    before = Interference(switches=5, waited={"1": 1.0, "2": 7.0})
    switches, waited = Interference(switches=9, waited={"1": 1.5, "3": 0.25}).since(before)
    assert (switches, waited) == (4, 0.75)
    assert Interference(None, None).since(before) == (None, None)


def test_the_canary_s_mean_is_not_below_its_floor():
    canary = Canary()
    canary.burst()
    mean, floor = canary.take()
    assert 0 < floor <= mean
    canary.burst()
    assert canary.take()[0] < 1000


def test_turns_are_open_on_the_wire():
    plain = {**msgspec.to_builtins(turn()), "later": 1, "disturbed_by": {"pressure": 0.5}}
    assert not msgspec.convert(plain, Turn).quiet
