"""What `inspect` says of a trained student: what it is, and how well its weights suit int8."""

from pathlib import Path

from rich.console import Console

from edgedistill.distill.checkpoint import ModelCard, load_student
from edgedistill.export.fusion_ranges import LayerRanges, fusion_ranges
from edgedistill.export.quantization.weight_ranges import LOW_SNR
from edgedistill.runtime.record import Record

from .console import escape
from .render import table

_SHOWN = 10


class StudentFacts(Record):
    """A checkpoint.

    Attributes:
        file: as it was given.
        sha256: of it.
        card: what it says of itself.
        layers: the ranges of its weights, the least suited to 8 bits first.
    """

    file: str
    sha256: str
    card: ModelCard
    layers: tuple[LayerRanges, ...]


def student_facts(path: Path) -> StudentFacts:
    """Build the network, fuse it, and look at its weights.

    Raises:
        CheckpointError: it is no checkpoint of ours.
    """
    student = load_student(path)
    layers = tuple(fusion_ranges(student.model))
    return StudentFacts(file=str(path), sha256=student.sha256, card=student.card, layers=layers)


def student_table(facts: StudentFacts, console: Console) -> None:
    """Its card in a line, and the layers that 8 bits suit least, before and after re-parameterization."""
    card, (height, width) = facts.card, facts.card.preprocessing.size
    console.print(f"[bold]{escape(card.name)}[/]  {escape(facts.file)}", soft_wrap=True)
    console.print(f"{escape(card.model.name)}, {len(card.classes)} classes, input {height}x{width}", soft_wrap=True)
    rows = table("layer", "signal to noise in 8 bits, dB", "of its branches, dB", "largest / rms")
    for layer in facts.layers[:_SHOWN]:
        branches = ", ".join(f"{escape(name)} {of.snr:.1f}" for name, of in layer.branches.items()) or "-"
        colour = "yellow" if layer.after.snr < LOW_SNR else "default"
        snr, crest = f"[{colour}]{layer.after.snr:.1f}[/]", f"{layer.after.crest:.1f}"
        rows.add_row(escape(layer.name), snr, branches, crest)
    console.print(rows)
    more = len(facts.layers) - _SHOWN
    if more > 0:
        console.print(f"[dim]and {more} more layers, of {facts.layers[_SHOWN].after.snr:.1f} dB and above[/]")
