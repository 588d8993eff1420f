"""`serve`: a bundle behind HTTP."""

from typing import Annotated

import typer

from .. import console
from ..console import escape
from ..options import (
    ArtifactName,
    BackendName,
    BundlePath,
    DecodeName,
    DeviceName,
    PrecisionName,
    RequireSignature,
    Threads,
)
from ..signals import sigterm_like_ctrl_c

_LIMITS = "What is taken at most"


def serve(
    bundle: BundlePath,
    address: Annotated[
        str, typer.Option("--address", help="Where to listen: 0.0.0.0 for other machines too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for any that is free.")] = 8000,
    artifact: ArtifactName = None,
    backend: BackendName = None,
    precision: PrecisionName = None,
    threads: Threads = None,
    device: DeviceName = None,
    decode: DecodeName = "full",
    require_signature: RequireSignature = None,
    batch_window: Annotated[
        float, typer.Option("--batch-window", help="Milliseconds that an image waits for others of its batch.")
    ] = 0.0,
    max_batch: Annotated[
        int | None,
        typer.Option(
            "--max-batch",
            help="Images of an inference; default: the artifact's typical number on a CPU, its largest elsewhere.",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    max_megabytes: Annotated[
        float, typer.Option("--max-megabytes", help="Of an image's file.", rich_help_panel=_LIMITS)
    ] = 20.0,
    max_megapixels: Annotated[
        float, typer.Option("--max-megapixels", help="Of an image.", rich_help_panel=_LIMITS)
    ] = 50.0,
    max_pending: Annotated[
        int, typer.Option("--max-pending", help="Images under way at once; 503 beyond.", rich_help_panel=_LIMITS)
    ] = 64,
    body_seconds: Annotated[
        float, typer.Option("--body-seconds", help="For an image to arrive.", rich_help_panel=_LIMITS)
    ] = 30.0,
    stop_seconds: Annotated[
        float, typer.Option("--stop-seconds", help="For what is under way when told to stop.", rich_help_panel=_LIMITS)
    ] = 30.0,
) -> None:
    """POST an image, get its labels: a bundle behind HTTP, until Ctrl-C or SIGTERM.

    /predict takes an image, /docs and /openapi.json describe the whole, /metrics is for Prometheus, /health/live and
    /health/ready for whoever restarts it. What is under way when it is told to stop is answered first. It has neither
    passwords nor encryption: leave that to a proxy before it.

    Exit codes: 0 told to stop, 1 what was under way then could not all be answered within --stop-seconds.

    Example: [bold]edgedistill serve bundle[/], then [bold]curl --data-binary @photo.jpg localhost:8000/predict[/]
    """
    from edgedistill import runtime
    from edgedistill.runtime.serving.limits import Limits
    from edgedistill.runtime.serving.running import listen, require_server, serve

    require_server()
    limits = Limits(
        window_ms=batch_window,
        batch=max_batch,
        megabytes=max_megabytes,
        megapixels=max_megapixels,
        pending=max_pending,
        body_seconds=body_seconds,
        stop_seconds=stop_seconds,
    )
    with sigterm_like_ctrl_c(), listen(address, port) as bound:
        predictor = runtime.load(
            bundle,
            backend,
            precision,
            threads,
            device,
            name=artifact,
            decode=decode,
            require_signature=require_signature,
        )

        def ready(url: str) -> None:
            console.err.print(
                f"{escape(str(bundle))}: {escape(predictor.artifact.name)} at {url}/predict; Ctrl-C ends it.",
                soft_wrap=True,
            )

        cut_off = serve(predictor, bound, limits, ready=ready)
    if cut_off:
        console.err.print(f"[red]stopped[/]; {cut_off} images under way had no answer within {stop_seconds:g} s.")
        raise typer.Exit(1)
    console.err.print("stopped; what was under way is answered.")
