"""What a bundle holds, for `export` and `inspect`."""

from rich.console import Console

from edgedistill.runtime.bundle import NO_SURROGATE, Artifact, Bundle, Coverage

from .console import escape
from .int8_notes import int8_notes
from .operating_point_table import operating_point_table
from .render import named_table, size, status

_NAMED_LAYERS = 5
_INT8_SHARE = 0.95  # of the convolutions; below, the layers in float are named


def bundle_table(bundle: Bundle, console: Console) -> None:
    """What a bundle holds."""
    manifest = bundle.manifest
    height, width = manifest.preprocessing.size
    made = manifest.provenance
    console.print(f"[bold]{escape(manifest.name)}[/]  {escape(str(bundle.root))}", soft_wrap=True)
    console.print(
        escape(
            f"{made.model}, {len(manifest.classes)} classes, input {manifest.input} {height}x{width}, "
            f"made {made.created} by edgedistill {made.edgedistill}"
        ),
        soft_wrap=True,
    )
    rows = named_table(
        "artifact", "precision", "size", "status", "max |logit diff|", right=("size", "max |logit diff|")
    )
    for artifact in manifest.artifacts:
        difference = f"{artifact.parity.max_abs_logit:.1e}" if artifact.parity else "-"
        rows.add_row(
            escape(artifact.name),
            escape(artifact.precision),
            size(artifact.size) if artifact.files else "-",
            status(artifact.status),
            difference,
        )
    console.print(rows)
    for artifact in manifest.artifacts:
        _notes(artifact, console)
    int8_notes(manifest.artifacts, console)
    operating_point_table(manifest, console)
    console.print(f"[dim]{escape(', '.join(manifest.classes))}[/]", soft_wrap=True)


def _notes(artifact: Artifact, console: Console) -> None:
    """Why it is not verified, and how much of it is computed in int8."""
    said = f"{artifact.reason} {surrogate_note(artifact)}".strip()
    if said:
        console.print(f"{status(artifact.status)}  {escape(artifact.name)}: {escape(said)}", soft_wrap=True)
    if artifact.coverage is not None and artifact.coverage.share < _INT8_SHARE:
        console.print(
            f"[yellow]{escape(artifact.name)}[/]: {escape(in_float_warning(artifact.coverage))}", soft_wrap=True
        )
    elif not said and (note := int8_note(artifact)):
        console.print(f"{escape(artifact.name)}: {escape(note)}", soft_wrap=True)


def surrogate_note(artifact: Artifact) -> str:
    """What ran in place of an artifact whose device was not there, or why nothing did where that was to be told."""
    found = artifact.surrogate
    if found is not None:
        counted = f", {note}" if (note := int8_note(artifact)) else ""
        return f"Surrogate ({found.runner}): max |logit diff| {found.max_abs_logit:.1e}{counted}."
    why = artifact.details.get(NO_SURROGATE)
    return f"No surrogate: {why}." if why else ""


def int8_note(artifact: Artifact) -> str:
    """How much of an int8 artifact is computed in int8, where that was counted."""
    found = artifact.coverage
    if found is None or not found.convolutions:
        return ""
    return f"{found.int8} of {found.convolutions} convolutions in int8"


def in_float_warning(coverage: Coverage) -> str:
    """Names the convolutions that the runtime does not compute in int8."""
    named = ", ".join(coverage.in_float[:_NAMED_LAYERS])
    more = len(coverage.in_float) - _NAMED_LAYERS
    return (
        f"{coverage.runner} computes {coverage.share:.0%} of the convolutions in int8; in float: {named}"
        f"{f' and {more} more' if more > 0 else ''}."
    )
