"""Which labels, classes and images an artifact changed, in a few lines."""

from rich.console import Console

from edgedistill.runtime.formatting import interval
from edgedistill.runtime.parity import ArtifactParity
from edgedistill.runtime.parity.report import ChangedImage, ClassParity

from .console import escape

_MOST = 5


def parity_changes(artifact: ArtifactParity, console: Console) -> None:
    """What differs from the reference: nothing where all labels are the same and no gate failed."""
    said = escape(artifact.name)
    if (found := artifact.bootstrap_drop) is not None:
        console.print(
            f"  {said}: drop by the paired bootstrap {interval(found, 3)} ({100 * found.confidence:g} %, "
            f"{found.resamples:,} resamples)",
            soft_wrap=True,
        )
    if (flips := artifact.flips) is not None and flips.images:
        console.print(
            f"  {said}: {flips.images:,} images with another label: {flips.gained:,} gained, {flips.lost:,} lost; "
            f"{flips.mended:,} now right, {flips.broken:,} now wrong",
            soft_wrap=True,
        )
        flipped = sorted(filter(_flips, artifact.classes), key=_flips, reverse=True)
        console.print(f"    classes: {escape('; '.join(map(_class, flipped[:_MOST])))}", soft_wrap=True)
        console.print(f"    images: {escape('; '.join(map(_image, artifact.changed[:_MOST])))}", soft_wrap=True)
    if artifact.ran and artifact.verdict == "failed" and artifact.losses:
        lost = ", ".join(f"{entry.name} {interval(entry.drop)}" for entry in artifact.losses[:_MOST])
        console.print(f"  AP lost: {escape(lost)}", soft_wrap=True)


def _flips(entry: ClassParity) -> int:
    return entry.gained + entry.lost


def _class(entry: ClassParity) -> str:
    return f"{entry.name} +{entry.gained} -{entry.lost}, AP drop {interval(entry.drop)}"


def _image(one: ChangedImage) -> str:
    labels = [*(f"+{name}" for name in one.gained), *(f"-{name}" for name in one.lost)]
    return f"{one.id} {' '.join(labels) or f'{one.name} {one.before:.2f} to {one.after:.2f}'}"
