"""Options of `export` for a network that is no student of ours: what a student's checkpoint would say."""

from pathlib import Path
from typing import Annotated, Literal

import typer

_PANEL = "A network from elsewhere"

Model = Annotated[
    str | None,
    typer.Option("--model", metavar="timm/NAME|torchvision/NAME", help="A library's network.", rich_help_panel=_PANEL),
]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", help="Of --model: a .safetensors or .pth, never executed.", rich_help_panel=_PANEL),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        "--classes", help="The scores' names: a text file, one a line, or a .json list.", rich_help_panel=_PANEL
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="N|HxW", help="Pixels; default: the graph's, or the library's.", rich_help_panel=_PANEL
    ),
]
Resize = Annotated[
    Literal["squash", "center_crop"] | None, typer.Option("--resize", help="Default: squash.", rich_help_panel=_PANEL)
]
Interpolation = Annotated[
    Literal["bilinear", "bicubic"] | None,
    typer.Option("--interpolation", help="Default: the library's, or bilinear.", rich_help_panel=_PANEL),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean", metavar="X|R,G,B", help="In [0, 1] units; default: the library's, or ImageNet's.",
        rich_help_panel=_PANEL,
    ),
]  # fmt: skip
Std = Annotated[
    str | None,
    typer.Option(
        "--std", metavar="X|R,G,B", help="In [0, 1] units; default: the library's, or ImageNet's.",
        rich_help_panel=_PANEL,
    ),
]  # fmt: skip
