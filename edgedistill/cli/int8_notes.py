"""What `inspect` says of how int8 files were made: what they lost, what was done about it, which layers are worst."""

from collections.abc import Sequence

from rich.console import Console

from edgedistill.runtime.bundle import Artifact

from .console import escape

_NOTES = {
    "held_out_drop": "lost on held-out images",
    "calibrator": "calibrator",
    "bias_correction": "bias correction",
    "equalisation": "weights equalised",
    "adaptive_rounding": "weights rounded adaptively",
    "accuracy_recovery": "accuracy recovery",
    "layers_in_float": "layers in float",
    "latency_price": "their price",
    "layer_snr": "worst layers, signal to noise",
    "layers_ranked": "worst layers, each alone",
    "weights": "weights",
    "weight_ranges": "ranges of the weights",
}


def int8_notes(artifacts: Sequence[Artifact], console: Console) -> None:
    """One paragraph for each quantised graph; artifacts that share it are named together."""
    sharing: dict[tuple[str, ...], list[str]] = {}
    for artifact in artifacts:
        noted = tuple(f"{what}: {artifact.details[key]}" for key, what in _NOTES.items() if key in artifact.details)
        if artifact.files and noted:
            sharing.setdefault(noted, []).append(artifact.name)
    for noted, names in sharing.items():
        console.print(f"[bold]{escape(', '.join(names))}[/]", soft_wrap=True)
        for line in noted:
            console.print(f"  {escape(line)}", soft_wrap=True)
