"""`predict`: labels per image."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgedistill.runtime.errors import ConfigError, DataError, InterruptedRunError
from edgedistill.runtime.formatting import counted

from .. import console
from .. import model_options as model
from ..console import escape
from ..options import (
    ArtifactName,
    BackendName,
    BundleOrModel,
    DecodeName,
    DeviceName,
    PrecisionName,
    RequireSignature,
    Threads,
)
from ..photos import count_photos, find_photos
from ..prediction_rows import facts_of, rows_of

if TYPE_CHECKING:
    from edgedistill.runtime import Predictor


def predict(
    bundle: BundleOrModel,
    images: Annotated[list[str], typer.Argument(help="Images, folders, or - for paths on standard input.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write them to this .jsonl, .csv or .parquet file; continues."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin the --output file anew.")] = False,
    scores: Annotated[
        bool, typer.Option("--scores", help="The probability of every class in the --output file.")
    ] = False,
    artifact: ArtifactName = None,
    backend: BackendName = None,
    precision: PrecisionName = None,
    threads: Threads = None,
    device: DeviceName = None,
    decode: DecodeName = "full",
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images per inference; default: the artifact's typical number, its largest on a GPU."),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Show the k most probable classes instead of those over their threshold.")
    ] = None,
    classes: model.Classes = None,
    size: model.Size = None,
    resize: model.Resize = None,
    interpolation: model.Interpolation = None,
    mean: model.Mean = None,
    std: model.Std = None,
    gives: model.Gives = None,
    threshold: model.Threshold = None,
    require_signature: RequireSignature = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line and image.")] = False,
) -> None:
    """Labels of images, by the fastest artifact that is verified, runs here and meets its gates; says which and why.

    Where no class reaches its threshold the three most probable are shown, and said to be below it; with --json
    `labels` is empty then and `top` has them. An image that cannot be read is told and skipped (with --json as
    `image` and `error`), and the exit code is 2.

    With --output nothing is lost when it is interrupted: the same command goes on where it stopped.

    Example: [bold]edgedistill predict bundle photos -o labels.csv[/]
    """
    given = model.described(
        bundle,
        classes=classes,
        size=size,
        resize=resize,
        interpolation=interpolation,
        mean=mean,
        std=std,
        gives=gives,
        threshold=threshold,
    )
    chosen = {
        "backend": backend,
        "precision": precision,
        "threads": threads,
        "device": device,
        "decode": decode,
        "require_signature": require_signature,
    }
    if output is not None and json:
        raise ConfigError("--json: is for standard output: with --output name the file .jsonl for the same lines.")
    if output is None and (scores or overwrite):
        raise ConfigError(f"{'--scores' if scores else '--overwrite'}: goes with --output FILE.")
    with _load(bundle, artifact, chosen, given) as predictor:
        if artifact is None and predictor.chosen:
            said = f"{predictor.chosen} Images are decoded {predictor.decoding}."
            console.err.print(escape(said), style="dim", soft_wrap=True)
        if output is None:
            count, failures = _print(rows_of(predictor, find_photos(images), batch_size, top), json)
        else:
            facts = facts_of(predictor, images, top, scores=scores)
            count, failures = _save(predictor, images, output, facts, batch_size, overwrite=overwrite)
    if failures:
        raise DataError(f"{failures} of {counted(count, 'image')} could not be read.")


def _load(bundle: Path, artifact: str | None, chosen: dict[str, Any], given: dict[str, Any]) -> "Predictor":
    from edgedistill import runtime
    from edgedistill.runtime.bundle.loose import open_source

    if not model.is_model_file(bundle):
        return runtime.load(bundle, name=artifact, **chosen)
    if artifact is not None:
        raise ConfigError(f"--artifact {artifact}: {bundle} is a model file, not a bundle of several artifacts.")
    required = chosen.pop("require_signature")
    if required is not None:
        open_source(bundle, require_signature=required)  # refuses: nobody can have signed a model file
    predictor = runtime.load_file(bundle, **chosen, **given)
    _tell_what_the_file_says(bundle, predictor, given)
    return predictor


def _tell_what_the_file_says(file: Path, predictor: "Predictor", given: dict[str, Any]) -> None:
    """Its own thresholds are older than what its bundle may say of it; without names its classes are numbers."""
    from edgedistill.runtime.bundle.file_facts import decode_facts

    from ..model_file_facts import WHOSE_THRESHOLDS

    facts = decode_facts(predictor.metadata, str(file))
    if not facts.classes and given.get("classes") is None:
        console.err.print(
            f"{escape(str(file))}: names no classes, so that they are numbers: --classes FILE names them.",
            style="dim",
            soft_wrap=True,
        )
    if facts.thresholds and "threshold" not in given:
        console.err.print(
            f"{escape(str(file))}: {WHOSE_THRESHOLDS}; `predict BUNDLE` uses those.", style="dim", soft_wrap=True
        )


def _print(rows: Iterable[dict[str, Any]], json: bool) -> tuple[int, int]:
    """How many there were, and how many of them could not be read."""
    count = failures = 0
    for row in rows:
        count += 1
        failures += "error" in row
        if json:
            console.print_json_line(row)
        elif "error" in row:
            console.err.print(f"[red]skipped:[/] {escape(row['error'])}", soft_wrap=True)
        else:
            said = f"[dim]none reaches its threshold; best:[/] {_listed(row['top'])}" if "top" in row else ""
            console.out.print(f"{escape(row['image'])}: {said or _listed(row['labels'])}", soft_wrap=True)
    return count, failures


def _save(
    predictor: "Predictor",
    images: list[str],
    output: Path,
    facts: dict[str, Any],
    batch_size: int | None,
    *,
    overwrite: bool,
) -> tuple[int, int]:
    """As `_print`, into a file."""
    from ..bulk_progress import bulk_progress
    from ..prediction_file import PredictionFile

    with PredictionFile(output, facts, overwrite=overwrite) as file:
        if file.complete:
            file.require_same(find_photos(images))
        else:
            try:
                total = count_photos(images)
                photos = file.after(find_photos(images))
                if file.rows:
                    console.err.print(f"{counted(file.rows, 'image')} done already.", style="dim")
                rows = rows_of(predictor, photos, batch_size, facts["top"], scores=facts["scores"])
                with bulk_progress(console.err, total, file.rows) as tell:
                    for row in rows:
                        file.write(row)
                        if "error" in row:
                            console.err.print(f"[red]skipped:[/] {escape(row['error'])}", soft_wrap=True)
                        tell(file.rows)
            except KeyboardInterrupt:
                raise InterruptedRunError(
                    f"interrupted; {counted(file.rows, 'image')} done, and the same command goes on behind them."
                ) from None
            file.finish()
        there = "was complete already: " if file.complete else ""
        said = f"{output}: {there}{counted(file.rows - file.skipped, 'image')}, {file.skipped:,} skipped."
        console.err.print(escape(said), soft_wrap=True)
        return file.rows, file.skipped


def _listed(labels: dict[str, float]) -> str:
    return "  ".join(f"[bold]{escape(name)}[/] {value:.2f}" for name, value in labels.items())
