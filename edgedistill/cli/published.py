"""What papers print of an experiment, beside what was reached."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from edgedistill.distill.paper_recipes import Published


def published_figures(published: Sequence[Published], console: Console, *, role: str = "student") -> None:
    """One line for each table that has them; nothing where no paper prints any.

    Args:
        published: the recipe's.
        console: where to print.
        role: of the model that was evaluated; papers print figures of the "student" and of the "teacher".
    """
    for entry in published:
        figures = {"student": entry.figures, "teacher": entry.teacher}.get(role, {})
        if figures:
            console.print(f"[bold]published[/]  {escape(_line(entry, figures))}", soft_wrap=True)


def _line(entry: Published, figures: Mapping[str, float]) -> str:
    told = "  ".join(f"{name} {value:.2f}" for name, value in figures.items())
    decided = any(not name.startswith("mAP") for name in figures)
    protocol = f" (decided by {entry.threshold})" if entry.threshold and decided else ""
    return f"{entry.table}: {told}{protocol}" + (f". {entry.note}" if entry.note else "")
