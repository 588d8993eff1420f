"""What papers print of an experiment, beside what was reached."""

from collections.abc import Mapping, Sequence

from rich.console import Console

from edgedistill.distill.recipe.papers.published import Published

from .console import escape


def published_figures(
    published: Sequence[Published], console: Console, *, role: str = "student", threshold: float | str | None = None
) -> None:
    """One line for each table that has them; nothing where no paper prints any.

    Args:
        published: the recipe's.
        console: where to print.
        role: of the model that was evaluated; papers print figures of the "student" and of the "teacher".
        threshold: how it was evaluated; None where no F1 stands beside the figures.
    """
    for entry in published:
        figures = {"student": entry.figures, "teacher": entry.teacher}.get(role, {})
        if figures:
            console.print(f"[bold]published[/]  {escape(_line(entry, figures, threshold))}", soft_wrap=True)


def _line(entry: Published, figures: Mapping[str, float], threshold: float | str | None) -> str:
    told = "  ".join(f"{name} {value:.2f}" for name, value in figures.items())
    decided = any(not name.startswith("mAP") for name in figures)
    protocol = f" ({_decided_by(entry.threshold, threshold)})" if entry.threshold and decided else ""
    return f"{entry.table}: {told}{protocol}" + (f". {entry.note}" if entry.note else "")


def _decided_by(theirs: float | str, ours: float | str | None) -> str:
    if ours is None or ours == theirs:
        return f"decided by {theirs}"
    return f"decided by {theirs}, not {ours} as above; F1 compares under evaluate --threshold {theirs}"
