"""A field check as a page: what was found, what it means, and the photographs to label."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..formatting import interval
from ..images import ImageSource
from ..page import Markup, document, element, table, thumbnail, verdict
from ..predictor.given import Images, each_image
from .choosing import RULE
from .report import Agreement, CheckReport, Drift, ImageToLabel

_ROWS = 30


def check_page(report: CheckReport, images: Images) -> str:
    """One HTML file, with the photographs in it.

    Args:
        report: what `check` found.
        images: as they were given to `check`, to be shown.
    """
    shown = images if isinstance(images, str | Path) else list(each_image(images))
    title = f"{report.bundle}: checked on {report.photographs}"
    return document(title, element("h1", title), *_head(report), *_body(report, shown))


def _head(report: CheckReport) -> Iterator[Markup]:
    yield element(
        "p",
        verdict(report.verdict),
        f" {report.artifact} on {report.device}, {report.images:,} photographs, {report.created}",
    )
    yield element("ul", *(element("li", sentence) for sentence in report.conclusions))
    for gate in report.gates:
        yield element("p", verdict(gate.verdict), f" {gate.sentence}")


def _body(report: CheckReport, images: str | Path | Sequence[ImageSource]) -> Iterator[Markup]:
    if report.drift is not None:
        yield from _drift(report.drift)
    if report.agreement is not None:
        yield from _agreement(report.agreement)
    if report.to_label:
        yield element("h2", "Photographs to label next")
        yield element("p", RULE, class_="faint")
        yield element("div", *(_figure(one, images) for one in report.to_label), class_="pictures")
    if report.skipped:
        yield element("h2", "Photographs that could not be read")
        yield element("ul", *(element("li", f"{one.id}: {one.reason}") for one in report.skipped[:_ROWS]))


def _drift(drift: Drift) -> Iterator[Markup]:
    yield element("h2", "Scores beside the recorded ones")
    yield element("p", f"Beside {drift.source}. Distance: Kolmogorov-Smirnov, 0 alike to 1 apart.", class_="faint")
    order = sorted(drift.classes, key=lambda one: -(one.distance.estimate or 0.0))[:_ROWS]
    headings = ("class", "distance", "p (corrected)", "scores are", "reported then", "reported now")
    yield table(
        headings,
        [
            (
                one.name,
                interval(one.distance),
                f"{one.probability:.2g}",
                element("span", "higher" if one.higher else "lower", class_="lost")
                if one.found
                else "not seen to differ",
                "-" if one.reported_then is None else f"{100 * one.reported_then:.1f} %",
                "-" if one.reported_now.estimate is None else f"{100 * one.reported_now.estimate:.1f} %",
            )
            for one in order
        ],
        numbers=("distance", "p (corrected)", "reported then", "reported now"),
    )
    if len(drift.classes) > _ROWS:
        yield element("p", f"and {len(drift.classes) - _ROWS} classes with smaller distances", class_="faint")


def _agreement(agreement: Agreement) -> Iterator[Markup]:
    yield element("h2", f"Beside {agreement.source}")
    rows = sorted(agreement.classes, key=lambda one: (-(one.gained + one.lost), one.rank.estimate or 0.0))[:_ROWS]
    yield table(
        ("class", "only here", "only there", "both", "rank correlation"),
        [(one.name, one.gained, one.lost, one.both, interval(one.rank, 3)) for one in rows],
        numbers=("only here", "only there", "both", "rank correlation"),
    )


def _figure(one: ImageToLabel, images: str | Path | Sequence[ImageSource]) -> Markup:
    source = Path(images, one.id) if isinstance(images, str | Path) else images[int(one.id)]
    doubts = [
        element("div", f"{label.name}? {label.probability:.2f} (from {label.threshold:.2f})", _other(label.reference))
        for label in one.doubtful
    ]
    caption = element(
        "figcaption",
        element("div", one.id, class_="path"),
        element("div", ", ".join(one.labels) or "no label"),
        *doubts,
    )
    return element("figure", thumbnail(source, alt=one.id), caption)


def _other(probability: float | None) -> str | None:
    return None if probability is None else f", there {probability:.2f}"
