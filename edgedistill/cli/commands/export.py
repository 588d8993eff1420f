"""`export`: a network becomes a bundle."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .. import console, network_options
from ..asked_network import asked_network
from ..console import escape
from ..export_request import SELFTEST_IMAGES, check_export
from ..extras import require_export
from ..signals import sigterm_like_ctrl_c

if TYPE_CHECKING:
    from edgedistill.runtime.bundle import Bundle
    from edgedistill.runtime.images import ImageSource


def export(
    network: Annotated[
        Path | None, typer.Argument(help="A student.safetensors, or an .onnx file; or see --model.", show_default=False)
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", "-t", help="A packaged deploy config (`edgedistill list targets`) or a .yaml; repeat."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle's folder.")] = Path("bundle"),
    data: Annotated[
        str | None,
        typer.Option("--data", help="Labelled images: the bundle gets the network's logits on them, for `verify`."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Image folder of --data, --calibration and --validation."),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option("--calibration", help="Training images, labelled or not, that int8 targets are calibrated on."),
    ] = None,
    calibration_images: Annotated[
        int, typer.Option("--calibration-images", min=1, help="How many of them measure ranges; others select.")
    ] = 512,
    validation: Annotated[
        str | None,
        typer.Option("--validation", help="Labelled images on which each artifact's own thresholds are estimated."),
    ] = None,
    validation_images: Annotated[
        int, typer.Option("--validation-images", min=1, help="How many of them are used at most.")
    ] = 2000,
    thresholds: Annotated[
        str | None,
        typer.Option(
            "--thresholds",
            metavar="RULE",
            help="0.5, best_f1, precision=0.9 or recall=0.8; with --validation. Default: best_f1.",
        ),
    ] = None,
    selftest: Annotated[
        list[Path] | None,
        typer.Option("--selftest", help="An image that travels as proof; repeat. Default: the first four of --data."),
    ] = None,
    input: Annotated[Literal["uint8_nhwc", "float32_nchw"], typer.Option(help="What the graph takes.")] = "uint8_nhwc",
    opset: Annotated[
        int | None, typer.Option(help="ONNX's operator set, where a runtime wants another than PyTorch's default.")
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(help="What the graphs give beside logits and probabilities; repeat. docs/outputs.md tells more."),
    ] = None,
    zip: Annotated[bool, typer.Option("--zip", help="Also write the bundle as one .zip.")] = False,
    model: network_options.Model = None,
    weights: network_options.Weights = None,
    classes: network_options.Classes = None,
    size: network_options.Size = None,
    resize: network_options.Resize = None,
    interpolation: network_options.Interpolation = None,
    mean: network_options.Mean = None,
    std: network_options.Std = None,
) -> None:
    """Build a bundle: ONNX, OpenVINO, LiteRT, Core ML, TensorRT; each file is compared with the network where it runs.

    Exit codes: 0 every target was built and nothing disagrees, 1 one failed (the table says why).

    Example: [bold]edgedistill export student.safetensors -t onnxruntime-cpu-int8 --calibration train.csv
    --validation val.csv --data test.csv -o bundle[/]

    Your own network: [bold]edgedistill export --model timm/resnet18 --weights mine.pth --classes labels.txt[/],
    or [bold]edgedistill export model.onnx --classes labels.txt[/].
    """
    if network is None or network.suffix.lower() != ".onnx":  # which needs no torch
        require_export("export")
    targets = target or ["onnxruntime-cpu-fp32"]
    images_said = {"size": size, "resize": resize, "interpolation": interpolation, "mean": mean, "std": std}
    given = asked_network(network, model, weights, classes, **images_said)
    asked = check_export(
        given,
        targets,
        out,
        data=data,
        images=images,
        calibration=calibration,
        calibration_images=calibration_images,
        validation=validation,
        validation_images=validation_images,
        thresholds=thresholds,
        selftest=selftest or (),
        input=input,
        opset=opset,
        outputs=output or (),
        zip=zip,
    )
    if asked.made is not None:
        todo = "nothing to do"
        if asked.unpacked:  # its results stay
            from edgedistill.export.packages.zip import pack_beside

            todo = f"only {pack_beside(asked.made, out).name} was missing"
        console.err.print(f"{escape(str(out))} is what this command makes: {escape(todo)}.", soft_wrap=True)
        _tell(asked.made)
        return
    with console.err.status("loading"):
        from edgedistill.export import export_bundle
        from edgedistill.export.golden import choose_golden
        from edgedistill.export.references import predict_split

        source = given.load().giving(output or ())
        source.image(input)  # refused before the whole split is predicted
    if source.reading:
        console.err.print(f"{escape(source.card.model)}: {escape(source.reading)}", soft_wrap=True)
    from edgedistill.runtime.progress import counting

    golden: Sequence[ImageSource] = asked.golden
    reference = []
    if asked.data is not None:
        with counting("reference", console.err) as progress:
            predicted = predict_split(source, asked.data, progress=progress)
        reference = [predicted.reference]
        golden = golden or choose_golden(predicted.images, predicted.reported, SELFTEST_IMAGES)
    with sigterm_like_ctrl_c(), console.err.status("exporting") as status:
        bundle = export_bundle(
            source,
            asked.targets,
            out,
            golden=golden,
            reference=reference,
            calibration=asked.apart,
            thresholds=None if asked.apart.validation is None else asked.thresholds,
            request=asked.request,
            input=input,
            opset=opset,
            outputs=output or (),
            zip=zip,
            progress=lambda step, total, text: status.update(f"{step}/{total} {escape(text)}"),
        )
    _tell(bundle)


def _tell(bundle: "Bundle") -> None:
    from ..bundle_table import bundle_table

    bundle_table(bundle, console.out)
    if any(artifact.status == "failed" for artifact in bundle.manifest.artifacts):
        raise typer.Exit(1)
