"""Options that several commands share: the same words, the same help, the same limits."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from edgedistill.runtime.errors import BundleError
from edgedistill.runtime.targets import MOST_THREADS


def existing(path: Path | None) -> Path | None:
    """Told before anything else: a typing mistake is not a file of another kind."""
    if path is not None and not os.path.lexists(path):
        raise BundleError(f"{path}: no such file or folder.")
    return path


BundlePath = Annotated[Path, typer.Argument(help="A bundle folder or .zip.", callback=existing)]
BundleOrModel = Annotated[
    Path, typer.Argument(help="A bundle folder or .zip, or a model file (.onnx, .xml).", callback=existing)
]
ArtifactNames = Annotated[
    list[str] | None, typer.Option("--artifact", "-a", help="Only this artifact (`edgedistill inspect`); repeat.")
]
ArtifactName = Annotated[
    str | None, typer.Option("--artifact", "-a", help="Only this artifact (`edgedistill inspect`).")
]
BackendName = Annotated[str | None, typer.Option("--backend", help="Only this backend's (`list backends`).")]
PrecisionName = Annotated[str | None, typer.Option("--precision", help="Only this precision's, e.g. fp32.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, max=MOST_THREADS, help="Intra-op threads; default: the deploy config's."),
]
DeviceName = Annotated[
    str | None, typer.Option("--device", help="The backend's device word, e.g. gpu; default: the deploy config's.")
]
RequireSignature = Annotated[
    str | None,
    typer.Option(
        "--require-signature",
        metavar="KEY",
        help="Refuse the bundle unless this public key signed it: a file, or ed25519:... itself.",
    ),
]
Page = Annotated[Path | None, typer.Option("--page", help="Also write an HTML page with the images, in one file.")]
MaxBadShare = Annotated[float, typer.Option(min=0, max=1, help="Share of undecodable images that is tolerated.")]
DecodeName = Annotated[
    Literal["full", "reduced"],
    typer.Option(help="reduced: decode a large JPEG at a fraction of its size, as in training (docs/images.md)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout.")]
