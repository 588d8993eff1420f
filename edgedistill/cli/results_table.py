"""The history of a bundle as a table."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from edgedistill.runtime.history import HistoryRow

from .bench_figures import rate
from .console import escape
from .render import milliseconds, named_table, size, status


def results_table(bundle: Path, rows: Sequence[HistoryRow], console: Console) -> None:
    """One row per artifact of each run."""
    if not rows:
        console.print(f"{escape(str(bundle))}: nothing was run yet: `edgedistill verify` and `bench` leave results.")
        return
    table = named_table("when", "device", "command", "artifact", "found", "verdict")
    before: tuple[str, str, str] | None = None
    for row in rows:
        run = (row.created[:19].replace("T", " "), row.device, row.kind)
        told = run if run != before else ("", "", "")  # a run is named once
        before = run
        found = "; ".join((*_figures(row), *([row.note] if row.note else [])))
        verdict = status(row.verdict) if row.verdict else ""
        table.add_row(*map(escape, told), escape(row.artifact), escape(found), verdict)
    console.print(table)


def _figures(row: HistoryRow) -> list[str]:
    """The figures in words, the headline first."""
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
    usual = {"scenario": "single", "batch": "1", "threads": "library default"}
    texts += [f"{name} {value}" for name, value in row.settings.items() if usual.get(name) != value]
    return texts + (["disturbed"] if row.disturbed else [])


def _ends(row: HistoryRow, name: str) -> str:
    if name not in row.intervals:
        return ""
    low, high = row.intervals[name]
    return f" [{milliseconds(low)}, {milliseconds(high)}]"
