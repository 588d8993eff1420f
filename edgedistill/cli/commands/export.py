"""`export`: a checkpoint becomes a bundle."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .. import console
from ..extras import require_export


def export(
    student: Annotated[Path, typer.Argument(help="A student.safetensors.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", "-t", help="A packaged deploy config (`edgedistill list targets`) or a .yaml; repeat."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle's folder.")] = Path("bundle"),
    selftest: Annotated[
        list[Path] | None,
        typer.Option("--selftest", help="An image that travels with the bundle as proof; repeat."),
    ] = None,
    input: Annotated[Literal["uint8_nhwc", "float32_nchw"], typer.Option(help="What the graph takes.")] = "uint8_nhwc",
    zip: Annotated[bool, typer.Option("--zip", help="Also write the bundle as one .zip.")] = False,
) -> None:
    """Build a bundle: ONNX, OpenVINO, TensorRT; each file checked against PyTorch where it can run.

    Example: [bold]edgedistill export runs/demo/student/student.safetensors -t onnxruntime-cpu-fp32 -o bundle[/]
    """
    require_export("export")
    from edgedistill.export import export_bundle

    from ..render import bundle_table

    with console.err.status("exporting") as status:
        bundle = export_bundle(
            student,
            target or ["onnxruntime-cpu-fp32"],
            out,
            golden=selftest or [],
            input=input,
            zip=zip,
            progress=lambda step, total, text: status.update(f"{step}/{total} {text}"),
        )
    bundle_table(bundle, console.out)
    if any(artifact.status == "failed" for artifact in bundle.manifest.artifacts):
        raise typer.Exit(1)
