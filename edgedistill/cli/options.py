"""Options that several commands share: the same words, the same help, the same limits."""

from pathlib import Path
from typing import Annotated

import typer

from edgedistill.runtime.targets import MOST_THREADS

BundlePath = Annotated[Path, typer.Argument(help="A bundle folder or .zip.")]
BundleOrModel = Annotated[Path, typer.Argument(help="A bundle folder or .zip, or a model file (.onnx, .xml).")]
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
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout.")]
