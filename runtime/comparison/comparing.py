"""From two benchmarks to verdicts: what forbids a comparison, what its interval says, and the gates."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from ..bench.gates import check_limits, check_timed, judge_limits
from ..bench.report import ArtifactBench
from ..bench.scenarios import COMPARED
from ..errors import ConfigError
from ..interval import Interval
from ..targets import Gates
from ..verdicts import Judgement, judge_at_most
from .differences import differences_of_artifacts, differences_of_runs
from .pairing import Pair, pair_artifacts
from .reading import Source, read_side
from .records import SLOWDOWN, ArtifactComparison, Comparison, Difference, SpeedVerdict, Statistic
from .units import process_times, ratio_of_independent, ratio_of_pairs

CONFIDENCE = 0.95
_MORE = "more runs of each side, in turns, would tell"


def compare(
    a: Source,
    b: Source,
    *,
    artifact: str | None = None,
    against: str | None = None,
    statistic: Statistic = "p50",
    confidence: float = CONFIDENCE,
    max_slowdown: float | None = None,
    limits: Gates | None = None,
    force: bool = False,
) -> Comparison:
    """Is B faster than A? The ratio of their times with its interval, artifact by artifact.

        runtime.compare("before.json", "after.json", max_slowdown=5).verdict

    Artifacts are paired by their names; where each side has one, those two are. What is taken for independent is
    processes, or runs where each side has several: `units` says why.

    Args:
        a: a BenchReport, a file of one (of a bundle's results/, or what `bench --json` printed), a folder of such
            files, or several of these.
        b: likewise.
        artifact: only this one, by its name in A.
        against: what it is held against in B, where that is called otherwise; A and B may then be the same report.
        statistic: "p50" or "p90" of the latencies; of throughput and of a server's rate there is one number.
        confidence: two-sided level of each interval.
        max_slowdown: a gate: by how many percent B's time may exceed A's, with the whole interval.
        limits: further gates that B is held to: max_p90_ms, max_p95_ms, max_rss, max_bytes.
        force: compare although the device or the settings differ; they are in `differences` all the same.

    Raises:
        BundleError: a file is no benchmark.
        ConfigError: an impossible option, nothing to compare, times of different things (see `force`), or a limit of
            the latency where B timed no single images.
    """
    if against is not None and artifact is None:
        raise ConfigError("--against (`against`) goes with --artifact (`artifact`), which says what of A is meant.")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence {confidence:g}: needs more than 0 and less than 1, e.g. 0.95.")
    if max_slowdown is not None and not 0 <= max_slowdown < math.inf:
        raise ConfigError(f"--max-slowdown {max_slowdown:g}: needs a percentage, 0 or more.")
    if limits is not None:
        check_limits(limits)
    first, second = read_side(a), read_side(b)
    pairing = pair_artifacts(first, second, artifact, against)
    differences = list(differences_of_runs(first, second))
    for pair in pairing.pairs:
        differences += differences_of_artifacts(pair.name, pair.a, pair.b, other=pair.other)
    if not force:
        _refuse(differences)
    what = _compared(first.runs[0].scenario).format(statistic=statistic)
    compared = []
    for pair in pairing.pairs:
        found = _compare(pair, what, statistic, confidence)
        gates = (*_judge_slowdown(found, max_slowdown), *_judge_limits(pair, limits))
        compared.append(msgspec.structs.replace(found, gates=gates))
    return Comparison(
        a=first.name,
        b=second.name,
        statistic=statistic,
        confidence=confidence,
        artifacts=tuple(compared),
        differences=tuple(differences),
        only_a=pairing.only_a,
        only_b=pairing.only_b,
    )


def _compared(scenario: str) -> str:
    if scenario not in COMPARED:  # another version's
        raise ConfigError(f"compare: the scenario {scenario!r} is none of {', '.join(COMPARED)}: update edgedistill.")
    return COMPARED[scenario]


def _refuse(differences: Sequence[Difference]) -> None:
    mixed = [f"{one.what} ({one.a})" for one in differences if one.forbids and one.a == one.b]
    if mixed:
        raise ConfigError(
            f"compare: runs of one side differ among themselves: {'; '.join(mixed)}. Name single files, or folders of "
            "runs that are alike."
        )
    forbidding = [f"{one.what} ({one.a} against {one.b})" for one in differences if one.forbids]
    if forbidding:
        raise ConfigError(
            f"compare: the two sides differ in more than their speed: {'; '.join(forbidding)}. Measure both alike, or "
            "insist with --force (`force`)."
        )


def _compare(pair: Pair, what: str, statistic: Statistic, confidence: float) -> ArtifactComparison:
    head = ArtifactComparison(
        name=pair.name,
        other=pair.other,
        what=what,
        ratio=Interval(estimate=None, low=None, high=None, confidence=confidence),
        verdict="cannot tell",
        a_bytes=pair.a[-1].bytes,
        b_bytes=pair.b[-1].bytes,
        a_peak_rss_bytes=_most_memory(pair.a),
        b_peak_rss_bytes=_most_memory(pair.b),
    )
    times_a, times_b = ([process_times(one, statistic) for one in side if not one.disturbed] for side in pair[2:4])
    for side, everything, times in (("A", pair.a, times_a), ("B", pair.b, times_b)):
        if not times:
            return _untold(head, f"{side} was disturbed ({everything[-1].disturbed}): measure it again")
        if not all(times):
            return _untold(head, f"{side} holds no such time")
    if pair.together:
        unit, ratio = "processes in pairs", ratio_of_pairs(times_a[0], times_b[0], confidence)
        a, b = (list(times[0].values()) for times in (times_a, times_b))
    else:
        several = min(len(times_a), len(times_b)) > 1
        unit = "runs" if several else "processes"
        a, b = (_of_runs(times) if several else _of_processes(times) for times in (times_a, times_b))
        ratio = ratio_of_independent(a, b, confidence)
    return msgspec.structs.replace(
        head,
        ratio=ratio,
        verdict=_speed(ratio),
        reason="" if ratio.low is not None else _too_few(len(a), len(b)),
        a_ms=math.exp(float(np.mean(a))),
        b_ms=math.exp(float(np.mean(b))),
        unit=unit,
        units=(len(a), len(b)),
    )


def _untold(head: ArtifactComparison, reason: str) -> ArtifactComparison:
    return msgspec.structs.replace(head, reason=reason)


def _too_few(a: int, b: int) -> str:
    side = "each side" if a < 2 and b < 2 else "A" if a < 2 else "B"
    return (
        f"{side} has one process, and the next may be faster or slower by itself: `bench --preset quick` measures in "
        "five"
    )


def _speed(ratio: Interval) -> SpeedVerdict:
    if ratio.low is None or ratio.high is None or ratio.low <= 1 <= ratio.high:
        return "cannot tell"
    return "faster" if ratio.high < 1 else "slower"


def _of_runs(times: Sequence[dict[int, float]]) -> list[float]:
    return [float(np.mean(list(run.values()))) for run in times]


def _of_processes(times: Sequence[dict[int, float]]) -> list[float]:
    return [time for run in times for time in run.values()]


def _most_memory(artifacts: Sequence[ArtifactBench]) -> int | None:
    return max((one.peak_rss_bytes for one in artifacts if one.peak_rss_bytes is not None), default=None)


def _judge_slowdown(found: ArtifactComparison, most: float | None) -> tuple[Judgement, ...]:
    if most is None:
        return ()
    ratio = found.ratio
    percent = {
        end: None if value is None else 100.0 * (value - 1.0)
        for end, value in (("estimate", ratio.estimate), ("low", ratio.low), ("high", ratio.high))
    }
    slowdown = msgspec.structs.replace(ratio, **percent)
    doubt = found.reason
    return (
        judge_at_most(SLOWDOWN, slowdown, most, what=f"slowdown of {found.what}", unit="%", doubt=doubt, more=_MORE),
    )


def _judge_limits(pair: Pair, limits: Gates | None) -> tuple[Judgement, ...]:
    """B's latest run against limits that were given now; those of its deploy config it was judged by when it ran."""
    if limits is None:
        return ()
    latest = pair.b[-1]
    check_timed(limits, single_images=latest.latency is not None and latest.batch_size == 1)
    return judge_limits(limits, latest)
