"""`check`: what a device's own photographs tell without labels."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgedistill.runtime.verdicts import EXIT_CODES

from .. import console
from ..here_or_there import HostName, RemoteData, checking
from ..options import (
    ArtifactName,
    BackendName,
    BundlePath,
    DeviceName,
    Json,
    MaxBadShare,
    Page,
    PrecisionName,
    RequireSignature,
    Threads,
)


def check(
    bundle: BundlePath,
    images: Annotated[
        Path | None, typer.Option("--images", help="A folder of photographs, and those in folders below it.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", help="An artifact (its name, or as in onnx/fp32) or a .csv, .npz or .parquet file of scores."
        ),
    ] = None,
    scale: Annotated[
        Literal["logits", "probabilities"] | None,
        typer.Option(help="What the file's scores are; default: probabilities where all are within 0 and 1."),
    ] = None,
    artifact: ArtifactName = None,
    backend: BackendName = None,
    precision: PrecisionName = None,
    threads: Threads = None,
    device: DeviceName = None,
    max_drift: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="A gate: how far (0-1) any class's scores may be from the recorded ones."),
    ] = None,
    max_changed: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="A gate: percent of photographs that may have other labels by --against."),
    ] = None,
    to_label: Annotated[
        int, typer.Option("--to-label", min=0, help="How many photographs to name for labelling.")
    ] = 50,
    list_: Annotated[
        Path | None, typer.Option("--list", help="Write those photographs as a .csv, to be corrected by a person.")
    ] = None,
    page: Page = None,
    max_bad_share: MaxBadShare = 0.01,
    require_signature: RequireSignature = None,
    host: HostName = None,
    remote_data: RemoteData = None,
    json: Json = False,
) -> None:
    """Without labels: are these photographs like those of before, and do two models agree on them?

    Compares each class's scores, and the embeddings where the bundle gives them, with what the bundle recorded; counts
    where another artifact or a file of scores says otherwise; and names the photographs that are worth labelling.

    Exit codes: 0 every gate is met, 1 one failed, 3 nothing could run here, 4 undecided (too few photographs), 5 not
    judged (neither --max-drift nor --max-changed is given).

    Example: [bold]edgedistill check bundle --images photos --against onnx/fp32 --page check.html[/]
    """
    from edgedistill.runtime.field import check_page
    from edgedistill.runtime.field.label_list import write_label_list
    from edgedistill.runtime.page import write_page

    from ..asked_images import photographs, refuse_folders
    from ..check_table import check_json, check_table

    refuse_folders(page=page, list_=list_)
    asked = photographs(images, host=host, remote_data=remote_data, page=page)
    with checking(host) as check_it:
        report = check_it(
            bundle,
            asked,
            against=against,
            scale=scale,
            artifact=artifact,
            backend=backend,
            precision=precision,
            threads=threads,
            device=device,
            to_label=to_label,
            max_drift=max_drift,
            max_changed=max_changed,
            max_bad_share=max_bad_share,
            require_signature=require_signature,
        )
    console.print_json(check_json(report)) if json else check_table(report, console.out)
    if list_ is not None:
        write_label_list(list_, report)
    if page is not None and images is not None:
        write_page(page, check_page(report, images))
    raise typer.Exit(EXIT_CODES[report.verdict])
