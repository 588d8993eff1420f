"""A parity report as a page: the tiers of every artifact, and the classes and images that changed most."""

from collections.abc import Iterator

from ..datasets import Dataset
from ..formatting import interval, size
from ..images import ImageSource
from ..page import Markup, document, element, table, thumbnail, verdict
from .report import ArtifactParity, ChangedImage, ParityReport

_CLASSES = 20


def parity_page(report: ParityReport, dataset: Dataset) -> str:
    """One HTML file, with the images in it.

    Args:
        report: what `verify` found.
        dataset: the images that it rests on.
    """
    data = _Data(dataset)
    title = f"{report.bundle}: verified on {report.dataset}"
    parts = [part for artifact in report.artifacts if artifact.ran for part in _artifact(artifact, data)]
    return document(title, element("h1", title), *_head(report), *parts)


class _Data:
    """The images and their labels by id."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._classes = {name: c for c, name in enumerate(dataset.classes)}
        self._places = {id: n for n, id in enumerate(dataset.ids)}

    def image(self, id: str) -> ImageSource:
        return self._dataset.images[self._places[id]]

    def says(self, id: str, name: str) -> str:
        """What the annotations say of a label, in a word."""
        return {1: "right", 0: "wrong"}.get(int(self._dataset.labels[self._places[id], self._classes[name]]), "unknown")


def _head(report: ParityReport) -> Iterator[Markup]:
    yield element(
        "p",
        verdict(report.verdict),
        f" {report.images:,} images on {report.device}, {report.created}. Reference: {report.reference.source}, mAP "
        f"{interval(report.reference.mean_ap)}.",
    )
    if report.preset:
        yield element("p", f"Preset {report.preset}: at least {report.preset} % of the reference's mAP.")
    numbers = ("size", "mAP", "drop", "same labels", "OF1", "CF1")
    yield table(
        ("artifact", *numbers, "verdict"),
        [_row(artifact) for artifact in report.artifacts],
        numbers=numbers,
    )
    for artifact in report.artifacts:
        for gate in artifact.gates:
            yield element("p", verdict(gate.verdict), f" {artifact.name}: {gate.sentence}")
        if artifact.reason:
            yield element("p", f"{artifact.name}: {artifact.reason}", class_="faint")


def _row(artifact: ArtifactParity) -> tuple[Markup | str, ...]:
    if not artifact.ran:
        return (artifact.name, size(artifact.bytes), "-", "-", "-", "-", "-", verdict(artifact.verdict))
    found, same = artifact.labels, artifact.unchanged_images
    return (
        artifact.name,
        size(artifact.bytes),
        interval(artifact.mean_ap),
        interval(artifact.drop, 3),
        "-" if same is None else f"{100 * same:.1f} %",
        "-" if found is None or found.OF1 is None else f"{found.OF1:.1f}",
        "-" if found is None or found.CF1 is None else f"{found.CF1:.1f}",
        verdict(artifact.verdict),
    )


def _artifact(artifact: ArtifactParity, data: _Data) -> Iterator[Markup]:
    yield element("h2", artifact.name)
    if artifact.golden is not None:
        yield element("p", verdict(artifact.golden.verdict), f" own photographs: {artifact.golden.sentence}")
    if (flips := artifact.flips) is not None:
        yield element(
            "p",
            f"{flips.images:,} images have another label: {flips.gained:,} labels gained and {flips.lost:,} lost, of "
            f"which {flips.mended:,} are now right and {flips.broken:,} now wrong by the annotations.",
        )
    if classes := artifact.changed_classes[:_CLASSES]:
        yield element("h3", "Classes that changed most")
        yield table(
            ("class", "positives", "AP of the reference", "AP", "drop", "labels gained", "lost"),
            [
                (c.name, c.positives, _ap(c.reference_ap), _ap(c.ap), interval(c.drop), c.gained, c.lost)
                for c in classes
            ],
            numbers=("positives", "AP of the reference", "AP", "drop", "labels gained", "lost"),
        )
    if artifact.changed:
        yield element("h3", "Images that changed most")
        yield element("div", *(_figure(one, data) for one in artifact.changed), class_="pictures")
    elif artifact.flips is not None:
        yield element("p", "No image changed by as much as 0.01 of a probability.", class_="faint")


def _ap(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _figure(one: ChangedImage, data: _Data) -> Markup:
    lines = [
        *(_flip("+", name, "gained", data.says(one.id, name)) for name in one.gained),
        *(_flip("−", name, "lost", _opposite(data.says(one.id, name))) for name in one.lost),
        element("div", f"{one.name}: {one.before:.2f} → {one.after:.2f}"),
    ]
    caption = element("figcaption", element("div", one.id, class_="path"), *lines)
    return element("figure", thumbnail(data.image(one.id), alt=one.id), caption)


def _flip(sign: str, name: str, kind: str, says: str) -> Markup:
    return element("div", element("span", f"{sign} {name}", class_=kind), f" ({says})")


def _opposite(word: str) -> str:
    return {"right": "wrong", "wrong": "right"}.get(word, word)
