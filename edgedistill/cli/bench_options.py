"""Options of `bench` and `compare`: what is measured, and the gates that a command line may set."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.targets import Gates

_ASKED = "What is asked of the artifact"
_GATES = "Gates, in place of the deploy config's; a failed one exits with 1"
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}

ScenarioName = Annotated[
    Literal["single", "batch", "throughput", "server"] | None,
    typer.Option(
        "--scenario",
        help="One image at a time; a batch at a time; as many images a second as possible; images that come at random, "
        "at the highest rate that --max-p99-ms allows. Default: single, or batch where --batch-size is above 1.",
        rich_help_panel=_ASKED,
    ),
]
BatchSizes = Annotated[
    str | None,
    typer.Option(
        "--batch-size", metavar="N[,N...]", help="Images per inference; several: a sweep.", rich_help_panel=_ASKED
    ),
]
ThreadCounts = Annotated[
    str | None,
    typer.Option(
        "--threads",
        metavar="N[,N...]",
        help="Intra-op threads; default: the deploy config's, of throughput and server 1; several: a sweep.",
        rich_help_panel=_ASKED,
    ),
]
Streams = Annotated[
    int | None,
    typer.Option(
        "--streams",
        min=1,
        help="Inferences at once, of throughput and server; default: as many as the cores hold.",
        rich_help_panel=_ASKED,
    ),
]
MaxP99 = Annotated[
    float | None, typer.Option("--max-p99-ms", help="The limit of the scenario server.", rich_help_panel=_ASKED)
]
Photo = Annotated[
    Path | None,
    typer.Option("--photo", help="Time this one's way to labels; default: the bundle's first.", rich_help_panel=_ASKED),
]
MaxP90 = Annotated[
    float | None, typer.Option("--max-p90-ms", help="p90 of the latency of one image.", rich_help_panel=_GATES)
]
MaxRss = Annotated[
    str | None,
    typer.Option("--max-rss", metavar="BYTES", help="Peak memory of the process: 200MB.", rich_help_panel=_GATES),
]
MaxBytes = Annotated[
    str | None, typer.Option("--max-bytes", metavar="BYTES", help="Size of the files: 4MB.", rich_help_panel=_GATES)
]


def counts(option: str, text: str | None) -> tuple[int, ...] | None:
    """`4` or `1,2,4`; None where it was not given."""
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,9}(,-?[0-9]{1,9})*", text):
        raise ConfigError(f"{option} {text}: needs whole numbers, as in {option} 4 or {option} 1,2,4.")
    values = tuple(map(int, text.split(",")))
    if min(values) < 1:
        raise ConfigError(f"{option} {text}: needs numbers from 1 on.")
    return values


def gates(max_p90_ms: float | None, max_rss: str | None, max_bytes: str | None) -> Gates:
    """The gates that were given."""
    return Gates(
        max_p90_ms=max_p90_ms,
        max_rss=None if max_rss is None else _byte_count("--max-rss", max_rss),
        max_bytes=None if max_bytes is None else _byte_count("--max-bytes", max_bytes),
    )


def _byte_count(option: str, text: str) -> int:
    """`4000000`, `4MB` or `1.5 GiB`."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Z]*)", text.strip().upper())
    if found is None or found[2] not in _UNITS:
        raise ConfigError(f"{option} {text}: needs bytes, as in {option} 4000000 or {option} 4MB (KB, GB, KiB, ...).")
    return round(float(found[1]) * _UNITS[found[2]])
