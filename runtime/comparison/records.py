"""What a comparison found, as typed values."""

from typing import Literal

from ..interval import Interval
from ..record import Record
from ..verdicts import EXIT_CODES, Judgement, Verdict, overall

SpeedVerdict = Literal["faster", "slower", "cannot tell"]
Statistic = Literal["p50", "p90"]


class Difference(Record):
    """Something else than the speed in which the two sides differ.

    Attributes:
        what: e.g. "device", "batch size", "file", "effective precision".
        a: of the first side.
        b: of the second.
        artifact: whose it is; empty for the whole.
        forbids: the times are of different things, so that nothing is compared unless the caller insists.
    """

    what: str
    a: str
    b: str
    artifact: str = ""
    forbids: bool = False


class ArtifactComparison(Record):
    """One artifact of A against one of B.

    Attributes:
        name: in A.
        other: in B, where it is called otherwise; empty where it is not.
        what: the compared time, in words, e.g. "p50 latency".
        a_ms: of A, in milliseconds: the geometric mean of its units; None where nothing was measured.
        b_ms: of B.
        ratio: time of B over time of A with its interval: below 1, B is faster.
        verdict: "faster": all of the interval is below 1; "slower": all of it is above; else "cannot tell".
        reason: why nothing can be told, where that is not the interval alone.
        unit: what was taken for independent: "runs", "processes", or "processes in pairs".
        units: how many of them each side has.
        a_bytes: size of A's files.
        b_bytes: size of B's.
        a_peak_rss_bytes: largest resident memory of A's process.
        b_peak_rss_bytes: of B's.
        gates: limits that B is held to, judged.
    """

    name: str
    what: str
    ratio: Interval
    verdict: SpeedVerdict
    other: str = ""
    reason: str = ""
    a_ms: float | None = None
    b_ms: float | None = None
    unit: str = ""
    units: tuple[int, int] = (0, 0)
    a_bytes: int = 0
    b_bytes: int = 0
    a_peak_rss_bytes: int | None = None
    b_peak_rss_bytes: int | None = None
    gates: tuple[Judgement, ...] = ()


class Comparison(Record):
    """What `compare` found.

    Attributes:
        a: where the first side came from.
        b: where the second did.
        statistic: which quantile of the latencies is compared.
        confidence: two-sided level of each interval: of two equal artifacts one is called faster, or slower, in at most
            1 - confidence of comparisons.
        artifacts: those of both sides.
        differences: besides the speed.
        only_a: artifacts that B lacks.
        only_b: artifacts that A lacks.
    """

    a: str
    b: str
    statistic: Statistic
    confidence: float
    artifacts: tuple[ArtifactComparison, ...]
    differences: tuple[Difference, ...] = ()
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Of the whole, in the words of every other report: the gates', and "failed" for what is slower without one."""
        return overall(_verdict(artifact) for artifact in self.artifacts)

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return EXIT_CODES[self.verdict]


SLOWDOWN = "max_slowdown"


def _verdict(artifact: ArtifactComparison) -> Verdict:
    told: list[Verdict] = [gate.verdict for gate in artifact.gates]
    if all(gate.name != SLOWDOWN for gate in artifact.gates):
        words: dict[SpeedVerdict, Verdict] = {"faster": "passed", "slower": "failed", "cannot tell": "undecided"}
        told.append(words[artifact.verdict])
    return overall(told)
