"""What `inspect` says of a model file that no bundle describes."""

from pathlib import Path

from rich.console import Console

from edgedistill.runtime.backends.base import Backend
from edgedistill.runtime.bundle import Artifact, FileEntry
from edgedistill.runtime.bundle.file_facts import FileFacts, decode_facts
from edgedistill.runtime.record import Record
from edgedistill.runtime.tensors import TensorSpec

from .console import escape
from .render import size, table

_SHOWN = 8
WHOSE_THRESHOLDS = (
    "its thresholds are those of the network that was exported; what was estimated for the file itself, and a "
    "temperature, only its bundle knows"
)


class ModelFileFacts(Record):
    """A model file as its library sees it.

    Attributes:
        file: as it was given.
        files: it, and what belongs to it beside it.
        backend: what opened it.
        inputs: what its graph takes.
        outputs: what its graph gives.
        effective: what the backend says it really uses: library, device or providers, precision, threads.
        says: what the file says of itself.
    """

    file: str
    files: tuple[FileEntry, ...]
    backend: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    effective: dict[str, str]
    says: FileFacts


def model_file_facts(path: Path, artifact: Artifact, loaded: Backend) -> ModelFileFacts:
    """The facts of a loaded model file."""
    return ModelFileFacts(
        file=str(path),
        files=artifact.files,
        backend=artifact.backend,
        inputs=loaded.inputs,
        outputs=loaded.outputs,
        effective=dict(loaded.effective),
        says=decode_facts(loaded.metadata, str(path)),
    )


def model_file_table(facts: ModelFileFacts, console: Console) -> None:
    """Inputs and outputs, how it runs, and its files."""
    console.print(f"[bold]{escape(facts.file)}[/]  a model file without a bundle", soft_wrap=True)
    rows = table("", "name", "type", "shape")
    for kind, specs in (("takes", facts.inputs), ("gives", facts.outputs)):
        for spec in specs:
            rows.add_row(kind, escape(spec.name), spec.dtype, escape(", ".join(map(str, spec.shape))))
    console.print(rows)
    how = ", ".join(f"{key} {value}" for key, value in facts.effective.items())
    console.print(f"[bold]runs[/]  {escape(facts.backend)}: {escape(how)}", soft_wrap=True)
    if facts.says.classes:
        names = ", ".join(facts.says.classes[:_SHOWN]) + (", ..." if len(facts.says.classes) > _SHOWN else "")
        console.print(f"[bold]says[/]  {len(facts.says.classes)} classes: {escape(names)}", soft_wrap=True)
    if (way := facts.says.preprocessing) is not None:
        how = f"{way.size[0]}x{way.size[1]} pixels, {way.resize}, {way.interpolation}"
        console.print(f"[bold]says[/]  {how}, mean {way.mean}, std {way.std}", soft_wrap=True)
    if facts.says.thresholds:
        low, high = min(facts.says.thresholds), max(facts.says.thresholds)
        console.print(f"[bold]says[/]  thresholds from {low:.2g} to {high:.2g}; {WHOSE_THRESHOLDS}", soft_wrap=True)
    for entry in facts.files:
        console.print(
            f"[bold]file[/]  {escape(entry.path)}  {size(entry.bytes)}  SHA-256 {entry.sha256}", soft_wrap=True
        )
