"""The history of a bundle: a line for each run, and below it a row for each artifact, which also 80 columns hold."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edgedistill.runtime.history import HistoryRow

from .bench_figures import rate
from .console import escape
from .render import milliseconds, size, status

_USUAL = {"scenario": "single", "batch": "1", "threads": "library default"}


def results_table(bundle: Path, rows: Sequence[HistoryRow], console: Console) -> None:
    """Each run with its artifacts."""
    if not rows:
        console.print(f"{escape(str(bundle))}: nothing was run yet: `edgedistill verify` and `bench` leave results.")
        return
    widths = [
        max(len(text) for text in column) for column in zip(*((r.artifact, r.verdict) for r in rows), strict=True)
    ]
    for (created, device, kind), run in groupby(rows, key=lambda row: (row.created, row.device, row.kind)):
        listed = list(run)
        alike = [
            (name, value)
            for name, value in listed[0].settings.items()
            if all(one.settings.get(name) == value for one in listed)
        ]
        said = ", ".join(_setting(name, value) for name, value in alike if _USUAL.get(name) != value)
        console.print(
            f"[bold]{escape(created[:19].replace('T', ' '))}[/]  {escape(kind)} on {escape(device)}"
            f"{escape(f': {said}') if said else ''}",
            soft_wrap=True,
        )
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
        for width in widths:
            table.add_column(min_width=width, no_wrap=True)
        table.add_column(overflow="fold")
        for row in listed:
            found = "; ".join((*_figures(row, dict(alike)), *([row.note] if row.note else [])))
            table.add_row(escape(row.artifact), status(row.verdict) if row.verdict else "", escape(found))
        console.print(table)


def _setting(name: str, value: str) -> str:
    return f"{value} images" if name == "images" else f"{name} {value}"


def _figures(row: HistoryRow, told: dict[str, str]) -> list[str]:
    """The figures in words, the headline first; of the settings those that are not told of the whole run."""
    found = row.figures
    texts = []
    if "p90_ms" in found:
        texts.append(f"p90 {milliseconds(found['p90_ms'])} ms{_ends(row, 'p90_ms')}")
    elif "p50_ms" in found:
        texts.append(f"p50 {milliseconds(found['p50_ms'])} ms{_ends(row, 'p50_ms')}")
    if "images_per_s" in found:
        texts.append(f"{rate(found['images_per_s'])} images/s")
    if "mAP" in found:
        texts.append(f"mAP {found['mAP']:.2f}")
    if "drop" in found:
        low, high = row.intervals.get("drop", (None, None))
        ends = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
        texts.append(f"drop {found['drop']:.3f}{ends}")
    if "changed" in found:
        texts.append(f"{found['changed']:.3g} % of images with other labels")
    if "drifted_classes" in found:
        texts.append(f"{found['drifted_classes']:.0f} classes drifted")
    if "peak_rss_bytes" in found:
        texts.append(size(int(found["peak_rss_bytes"])))
    if "joules_per_image" in found:
        texts.append(f"{1000 * found['joules_per_image']:.3g} mJ/image")
    texts += [_setting(name, value) for name, value in row.settings.items() if {**_USUAL, **told}.get(name) != value]
    return texts + (["disturbed"] if row.disturbed else [])


def _ends(row: HistoryRow, name: str) -> str:
    if name not in row.intervals:
        return ""
    low, high = row.intervals[name]
    return f" [{milliseconds(low)}, {milliseconds(high)}]"
