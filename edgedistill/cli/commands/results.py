"""`results`, `compare`: what was measured, on which device, and whether it became faster. Neither measures anything."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .. import console
from ..bench_options import MaxBytes, MaxP90, MaxRss, gates
from ..options import BundleOrModel, Json

Report = Annotated[
    Path, typer.Argument(help="A benchmark: a file of results/ or of `bench --json`, or a folder of such files.")
]


def results(
    bundle: BundleOrModel,
    device: Annotated[str | None, typer.Option("--device", help="Only devices whose name holds this.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only this command's: verify, bench, ...")] = None,
    newest: Annotated[int | None, typer.Option("--newest", min=1, help="Only so many rows.")] = None,
    json: Json = False,
) -> None:
    """What verify, bench and check found of a bundle on every device, the newest first.

    Example: [bold]edgedistill results bundle --device raspberry[/]
    """
    from edgedistill.runtime.history import read_history

    from ..results_table import results_table

    rows = read_history(bundle, device=device, kind=kind)[:newest]
    console.print_json(rows) if json else results_table(bundle, rows, console.out)


def compare(
    a: Report,
    b: Report,
    artifact: Annotated[str | None, typer.Option("--artifact", "-a", help="Only this one, by its name in A.")] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", help="What --artifact is held against in B; A and B may be one file then."),
    ] = None,
    statistic: Annotated[Literal["p50", "p90"], typer.Option(help="Which quantile of the latencies.")] = "p50",
    confidence: Annotated[float, typer.Option(help="Level of each interval, two-sided.")] = 0.95,
    max_slowdown: Annotated[
        float | None,
        typer.Option("--max-slowdown", metavar="PERCENT", help="A gate: by how much B may be slower than A."),
    ] = None,
    max_p90_ms: MaxP90 = None,
    max_rss: MaxRss = None,
    max_bytes: MaxBytes = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare although the device or the settings differ; they are told.")
    ] = False,
    json: Json = False,
) -> None:
    """Is B faster than A? The ratio of their times with its interval: faster, slower, or cannot tell.

    Exit codes: 0 B is faster, or within --max-slowdown; 1 B is slower, or a gate failed; 4 cannot tell.

    Example: [bold]edgedistill compare before.json after.json --max-slowdown 5[/]
    """
    from edgedistill import runtime

    from ..comparison_table import comparison_json, comparison_table

    found = runtime.compare(
        a,
        b,
        artifact=artifact,
        against=against,
        statistic=statistic,
        confidence=confidence,
        max_slowdown=max_slowdown,
        limits=gates(max_p90_ms, max_rss, max_bytes),
        force=force,
    )
    console.print_json(comparison_json(found)) if json else comparison_table(found, console.out)
    raise typer.Exit(found.exit_code)
