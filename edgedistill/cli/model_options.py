"""Options of a model file without its bundle: what a manifest would say, and the file's own metadata may say."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgedistill.runtime.errors import ConfigError

_MOST_PIXELS = 16384  # as in `runtime.load_file`
_DIGITS = 9  # int() refuses thousands
_PANEL = "Of a model file without a bundle, where its own metadata does not say it or is to be overruled"

Classes = Annotated[
    Path | None,
    typer.Option("--classes", help="Text file, one class name per line; default: numbers.", rich_help_panel=_PANEL),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="N|HxW", help="Pixels; needed where the graph takes any size.", rich_help_panel=_PANEL
    ),
]
Resize = Annotated[
    Literal["squash", "center_crop"] | None, typer.Option("--resize", help="Default: squash.", rich_help_panel=_PANEL)
]
Interpolation = Annotated[
    Literal["bilinear", "bicubic"] | None,
    typer.Option("--interpolation", help="Default: bilinear.", rich_help_panel=_PANEL),
]
Mean = Annotated[
    str | None,
    typer.Option("--mean", metavar="X|R,G,B", help="In [0, 1] units; default: ImageNet's.", rich_help_panel=_PANEL),
]
Std = Annotated[
    str | None,
    typer.Option("--std", metavar="X|R,G,B", help="In [0, 1] units; default: ImageNet's.", rich_help_panel=_PANEL),
]
Gives = Annotated[
    Literal["logits", "probabilities"] | None,
    typer.Option("--gives", help="What its output is; default: logits.", rich_help_panel=_PANEL),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", min=0, max=1, help="From which a label shows; default: 0.5.", rich_help_panel=_PANEL),
]


def is_model_file(path: Path) -> bool:
    """Whether a path names a model file, by its suffix, rather than a bundle."""
    from edgedistill.runtime.backends.base import BACKENDS

    suffixes = {suffix for name in BACKENDS.names() for suffix in BACKENDS.get(name).suffixes}
    return path.suffix.lower() in suffixes and not path.is_dir()


def described(
    path: Path,
    *,
    classes: Path | None,
    size: str | None,
    resize: str | None,
    interpolation: str | None,
    mean: str | None,
    std: str | None,
    gives: str | None,
    threshold: float | None,
) -> dict[str, Any]:
    """The arguments of `runtime.load_file` that were given.

    Raises:
        ConfigError: one has no sense, or `path` is a bundle, which says all this itself.
    """
    given: dict[str, Any] = {
        "classes": classes,
        "size": None if size is None else parse_size(size),
        "resize": resize,
        "interpolation": interpolation,
        "mean": None if mean is None else parse_channels("--mean", mean),
        "std": None if std is None else parse_channels("--std", std),
        "gives": gives,
        "threshold": threshold,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if given and not is_model_file(path):
        options = ", ".join(f"--{name}" for name in given)
        raise ConfigError(f"{options}: for a model file alone; {path} is none, and a bundle says this itself.")
    if any(value <= 0 for value in given.get("std", ())):
        raise ConfigError(f"--std {std}: needs numbers above 0.")
    return given


def parse_size(text: str) -> int | tuple[int, int]:
    """`224` or `224x320`."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdecimal() for side in sides):
        raise ConfigError(f"--size {text}: give pixels as in --size 224, or height and width as in --size 224x320.")
    if not all(len(side) <= _DIGITS and 1 <= int(side) <= _MOST_PIXELS for side in sides):
        raise ConfigError(f"--size {text}: each side needs 1 to {_MOST_PIXELS} pixels, as in --size 224.")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def parse_channels(option: str, text: str) -> tuple[float, float, float]:
    """`0.5` or `0.485,0.456,0.406`."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{option} {text}: give one number, or three as in {option} 0.5,0.5,0.5 (red, green, blue).")
    red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    return red, green, blue
