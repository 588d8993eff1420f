"""What each artifact is worth against what it costs: mAP against latency and bytes, on every device."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..formatting import interval, milliseconds, size
from ..interval import Interval
from ..page import Markup, element, table, verdict
from ..verdicts import Verdict, overall
from .evidence import Compared, Evidence, Timed
from .section import Section, figure, folded

_LEAD = (
    "Up is better, left is cheaper. An artifact on the line is beaten by no other on both counts. Latency is the 90th "
    "percentile of one image at a time, the headline of MLPerf's single-stream scenario."
)


@dataclass(frozen=True)
class Point:
    """An artifact on a device.

    Attributes:
        elsewhere: the mAP is another device's, since verify did not run on this one.
        disturbed: other work disturbed the machine while the latency was measured.
    """

    device: str
    artifact: str
    backend: str
    precision: str
    bytes: int
    mean_ap: Interval | None
    elsewhere: bool
    p50_ms: float | None
    p90: Interval | None
    disturbed: bool
    verdict: Verdict

    @property
    def latency(self) -> str:
        """The p90 with its interval, in milliseconds, and whether to believe it."""
        return f"{interval(self.p90, 3)}{', disturbed' if self.disturbed else ''}"


def points(evidence: Evidence) -> list[Point]:
    """Every artifact that was compared or timed, by device; those that ran nowhere are left out."""
    compared = {(one.place.slug, one.artifact.name): one for one in evidence.on_split()}
    timed = {(one.place.slug, one.name): one for one in evidence.timed if one.is_headline}
    anywhere = {one.artifact.name: one for one in evidence.on_split()}
    found = []
    for place in evidence.places:
        for artifact in evidence.bundle.manifest.artifacts:
            key = (place.slug, artifact.name)
            if key in compared or key in timed:
                found.append(_point(place.name, compared.get(key), timed.get(key), anywhere.get(artifact.name)))
    return found


def tradeoff_section(evidence: Evidence) -> Section | None:
    """Two plots and the table behind them; None where nothing was measured."""
    found = points(evidence)
    if not found:
        return None
    body = Markup(
        element(
            "div",
            figure("latency_tradeoff", "mAP in points against the 90th percentile of the latency in milliseconds"),
            figure("size_tradeoff", "mAP in points against the size of the files in bytes"),
            class_="pair",
        )
        + folded("The numbers as a table", _table(found))
    )
    data = [
        {
            "device": one.device,
            "artifact": one.artifact,
            "backend": one.backend,
            "precision": one.precision,
            "bytes": one.bytes,
            "mAP": None if one.mean_ap is None else one.mean_ap.estimate,
            "elsewhere": one.elsewhere,
            "p90_ms": None if one.p90 is None else one.p90.estimate,
            "p90_low": None if one.p90 is None else one.p90.low,
            "p90_high": None if one.p90 is None else one.p90.high,
            "disturbed": one.disturbed,
            "verdict": one.verdict,
        }
        for one in found
    ]
    return Section("tradeoff", "Accuracy against cost", _LEAD, body, {"latency_tradeoff": data, "size_tradeoff": data})


def _point(device: str, compared: Compared | None, timed: Timed | None, other: Compared | None) -> Point:
    accuracy = compared or other
    facts = (compared or timed).artifact  # type: ignore[union-attr]  # one of the two is there
    said: list[Verdict] = [] if compared is None else [compared.artifact.verdict]
    if timed is not None and (timed.artifact.verdict != "not judged" or not said):
        said.append(timed.artifact.verdict)  # a latency that has no gate says nothing
    return Point(
        device=device,
        artifact=facts.name,
        backend=facts.backend,
        precision=facts.precision,
        bytes=facts.bytes,
        mean_ap=None if accuracy is None else accuracy.artifact.mean_ap,
        elsewhere=compared is None and other is not None,
        p50_ms=None if timed is None else timed.artifact.p50_ms,
        p90=None if timed is None or timed.artifact.latency is None else timed.artifact.latency.p90,
        disturbed=timed is not None and bool(timed.artifact.disturbed),
        verdict=overall(said),
    )


def _table(found: Sequence[Point]) -> Markup:
    headings = ("device", "artifact", "mAP [95 % CI]", "p50 ms", "p90 ms [95 % CI]", "size", "verdict")
    rows = [
        (
            one.device,
            one.artifact,
            f"{interval(one.mean_ap)}{' *' if one.elsewhere else ''}",
            milliseconds(one.p50_ms),
            one.latency,
            size(one.bytes),
            verdict(one.verdict),
        )
        for one in found
    ]
    note = (
        "* verify did not run on this device: the mAP is that of another one."
        if any(o.elsewhere for o in found)
        else None
    )
    return Markup(table(headings, rows, numbers=headings[2:6]) + element("p", note, class_="faint"))
