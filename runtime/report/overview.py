"""The first screen: what the bundle is, its best numbers, and what it sees."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from ..bundle import Bundle, GoldenImage, expected_labels
from ..errors import BundleError
from ..formatting import milliseconds, size
from ..page import Markup, element, thumbnail, verdict
from ..verdicts import Verdict, overall
from .evidence import Evidence
from .lineage import gain
from .tradeoff import Point, points

_PHOTOGRAPHS = 4
_LABELS = 3
_MADE = ("mosaic-", "turned")  # of the others, to prove resizing and orientation


def overview(evidence: Evidence) -> Markup:
    """Name, sentence, tiles, photographs."""
    manifest = evidence.bundle.manifest
    height, width = manifest.preprocessing.size
    model = manifest.lineage.exported.model if manifest.lineage else manifest.provenance.model
    forms, where = len(manifest.artifacts), len(evidence.places)
    said = (
        f"{model}: {len(manifest.classes)} classes, photographs of {height} x {width} pixels, "
        f"{_count(forms, 'artifact')}, {'measured on ' + _count(where, 'device') if where else 'measured nowhere yet'}."
    )
    return element(
        "header",
        element("h1", manifest.name),
        element("p", said, class_="lead"),
        element("dl", *_tiles(evidence), class_="tiles"),
        _photographs(evidence.bundle),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _tiles(evidence: Evidence) -> list[Markup]:
    manifest, found = evidence.bundle.manifest, points(evidence)
    tiles = []
    lineage, more = manifest.lineage, gain(evidence)
    if lineage is not None and lineage.exported.mAP is not None:
        beside = "" if more is None else f"{more:+.2f} points over the same network without a teacher"
        tiles.append(_tile("mAP", f"{lineage.exported.mAP:.2f}", beside or f"on {lineage.images:,} images"))
    timed = [one for one in found if one.p90 and one.p90.estimate is not None]
    fast = min([one for one in timed if not one.disturbed] or timed, key=_p90, default=None)
    if fast is not None:
        doubt = "; other work disturbed the machine: measure again" if fast.disturbed else ""
        said = f"{fast.artifact} on {fast.device}{doubt}"
        tiles.append(_tile("fastest p90", f"{milliseconds(_p90(fast))} ms", said))
    small = min((one for one in manifest.artifacts if one.files), key=lambda one: one.size, default=None)
    if small is not None:
        tiles.append(_tile("smallest", size(small.size), small.name))
    if evidence.compared:
        words = [one.artifact.verdict for one in evidence.compared]
        tiles.append(_tile("parity", verdict(overall(words)), _passed(words)))
    return tiles


def _passed(words: Sequence[Verdict]) -> str:
    """How many comparisons passed, of those that a gate judges."""
    judged = [word for word in words if word not in ("could not run", "not judged")]
    ungated = words.count("not judged")
    if not judged:
        return f"{_count(ungated, 'comparison')}, without a gate" if ungated else "nothing could run"
    return f"{judged.count('passed')} of {_count(len(judged), 'comparison')} passed" + (
        f", {ungated} without a gate" if ungated else ""
    )


def _p90(one: Point) -> float:
    assert one.p90 is not None
    assert one.p90.estimate is not None
    return one.p90.estimate


def _tile(name: str, value: Markup | str, beside: str) -> Markup:
    return element(
        "div", element("dt", name), element("dd", value), element("dd", beside, class_="faint"), class_="tile"
    )


def _photographs(bundle: Bundle) -> Markup | None:
    """Some of the bundle's own, with the labels that the training framework gives them."""
    chosen = [one for one in bundle.manifest.selftest if not PurePosixPath(one.file.path).name.startswith(_MADE)]
    shown = [_photograph(bundle, one) for one in chosen[:_PHOTOGRAPHS]]
    return element("div", *shown, class_="pictures") if shown else None


def _photograph(bundle: Bundle, golden: GoldenImage) -> Markup:
    calibrated = next((one for one in bundle.manifest.artifacts if one.operating_point is not None), None)
    labels = expected_labels(bundle.manifest, golden, calibrated)
    said: list[Markup | str] = [
        element("div", f"{name} ", element("b", f"{value:.2f}")) for name, value in list(labels.items())[:_LABELS]
    ]
    try:
        picture = thumbnail(bundle.read(golden.file), alt=_described(list(labels)))
    except BundleError as error:
        picture = element("p", str(error), class_="missing")
    return element("figure", picture, element("figcaption", *(said or ["no label reaches its threshold"])))


def _described(labels: Sequence[str]) -> str:
    return f"A photograph labelled {', '.join(labels[:_LABELS])}" if labels else "A photograph without a label"
