"""`predict`: labels per image."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgedistill.runtime.errors import ConfigError, DataError

from .. import console
from .. import model_options as model
from ..console import escape
from ..options import ArtifactName, BackendName, BundleOrModel, DeviceName, PrecisionName, RequireSignature, Threads
from ..photos import find_photos

if TYPE_CHECKING:
    from edgedistill.runtime import Prediction, Predictor

_BEST = 3


def predict(
    bundle: BundleOrModel,
    images: Annotated[list[str], typer.Argument(help="Images, folders, or - for paths on standard input.")],
    artifact: ArtifactName = None,
    backend: BackendName = None,
    precision: PrecisionName = None,
    threads: Threads = None,
    device: DeviceName = None,
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
    """Labels of images, by the first artifact that runs here.

    Where no class reaches its threshold the three most probable are shown, and said to be below it; with --json
    `labels` is empty then and `top` has them. An image that cannot be read is told and skipped (with --json as
    `image` and `error`), and the exit code is 2.

    Example: [bold]edgedistill predict bundle photo.jpg[/]
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
        "require_signature": require_signature,
    }
    count = failures = 0
    with _load(bundle, artifact, chosen, given) as predictor:
        for photo in find_photos(images):
            count += 1
            problem = photo.problem
            try:
                prediction = None if problem else predictor.predict(photo.path)[0]
            except DataError as error:
                prediction, problem = None, str(error)
            if prediction is None:
                failures += 1
                _tell_skipped(photo.path, problem, json)
            else:
                _tell(photo.path, prediction, top, json)
    if failures:
        raise DataError(f"{failures} of {count} images could not be read.")


def _load(bundle: Path, artifact: str | None, chosen: dict[str, Any], given: dict[str, Any]) -> "Predictor":
    from edgedistill import runtime

    if not model.is_model_file(bundle):
        return runtime.load(bundle, name=artifact, **chosen)
    if artifact is not None:
        raise ConfigError(f"--artifact {artifact}: {bundle} is a model file, not a bundle of several artifacts.")
    predictor = runtime.load_file(bundle, **chosen, **given)
    if "threshold" not in given:
        _tell_whose_thresholds(bundle, predictor)
    return predictor


def _tell_whose_thresholds(file: Path, predictor: "Predictor") -> None:
    """A file's own are older than what its bundle may say of it."""
    from edgedistill.runtime.bundle.file_facts import decode_facts

    from ..model_file_facts import WHOSE_THRESHOLDS

    if decode_facts(predictor.metadata, str(file)).thresholds:
        console.err.print(
            f"{escape(str(file))}: {WHOSE_THRESHOLDS}; `predict BUNDLE` uses those.", style="dim", soft_wrap=True
        )


def _tell(path: Path, prediction: "Prediction", top: int | None, json: bool) -> None:
    labels = prediction.top(top) if top else prediction.labels
    best = {} if labels else prediction.top(_BEST)
    if json:
        console.print_json_line({"image": str(path), "labels": labels, **({"top": best} if best else {})})
        return
    said = _listed(labels) if labels else f"[dim]none reaches its threshold; best:[/] {_listed(best)}"
    console.out.print(f"{escape(str(path))}: {said}", soft_wrap=True)


def _listed(labels: dict[str, float]) -> str:
    return "  ".join(f"[bold]{escape(name)}[/] {value:.2f}" for name, value in labels.items())


def _tell_skipped(path: Path, problem: str, json: bool) -> None:
    if json:
        console.print_json_line({"image": str(path), "error": problem})
    else:
        console.err.print(f"[red]skipped:[/] {escape(problem)}", soft_wrap=True)
