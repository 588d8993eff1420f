"""`predict`: labels per image."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from edgedistill.runtime.errors import DataError

from .. import console

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}


def predict(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder or .zip.")],
    images: Annotated[list[str], typer.Argument(help="Images, folders, or - for paths on standard input.")],
    backend: Annotated[
        str | None, typer.Option(help="onnxruntime, openvino or tensorrt; default: the first usable.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, fp16 or bf16.")] = None,
    threads: Annotated[int | None, typer.Option(help="Intra-op threads.")] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Show the k most probable classes instead of those over their threshold.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line and image.")] = False,
) -> None:
    """Labels of images.

    Example: [bold]edgedistill predict bundle photo.jpg[/]
    """
    from edgedistill import runtime

    failures = 0
    with runtime.load(bundle, backend=backend, precision=precision, threads=threads) as predictor:
        for path in _expand(images):
            try:
                prediction = predictor.predict(path)[0]
            except DataError as error:
                failures += 1
                console.err.print(f"[red]skipped:[/] {escape(str(error))}", soft_wrap=True)
                continue
            labels = prediction.top(top) if top else prediction.labels
            if json:
                console.print_json_line({"image": str(path), "labels": labels})
            else:
                shown = "  ".join(f"[bold]{escape(name)}[/] {value:.2f}" for name, value in labels.items())
                console.out.print(f"{escape(str(path))}: {shown or '[dim]none[/]'}", soft_wrap=True)
    if failures:
        raise DataError(f"{failures} image(s) could not be decoded; the others are above.")


def _expand(images: list[str]) -> Iterator[Path]:
    for image in images:
        if image == "-":
            yield from (Path(line.rstrip("\n")) for line in sys.stdin if line.strip())
        elif Path(image).is_dir():
            found = sorted(p for p in Path(image).rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise DataError(f"{image}: the folder holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
            yield from found
        else:
            yield Path(image)
