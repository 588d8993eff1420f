"""Tables that a narrow terminal holds: an interval, a name or a heading in pieces cannot be read."""

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from .console import escape

_ANY_WIDTH = 10_000


def table(*headings: str, right: Sequence[str] = ()) -> Table:
    """A table without boxes; the columns named in `right` are numbers. Headings appear literally."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for heading in headings:
        made.add_column(escape(heading), justify="right" if heading in right else "left", overflow="fold")
    return made


def named_table(*headings: str, names: int = 1, right: Sequence[str] = ()) -> Table:
    """A table whose first columns have names that are to be copied: none is broken over lines."""
    made = table(*headings, right=right)
    for column in made.columns[:names]:
        column.no_wrap = True
    return made


def print_fitting(
    console: Console,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    names: int = 1,
    right: Sequence[str] = (),
    aside: Sequence[Sequence[str]] = (),
) -> None:
    """Print one table, or several below each other where the terminal has not the columns for one.

    Args:
        console: whose width counts.
        headings: of all columns.
        rows: their cells, in rich's markup.
        names: how many columns, from the first, say what a row is of; each table has them.
        right: the headings of numbers.
        aside: groups of headings, the last columns' first: each makes a table of its own until the rest fits.
    """
    cells = [dict(zip(headings, row, strict=True)) for row in rows]

    def made(chosen: Sequence[str]) -> Table:
        found = named_table(*chosen, names=names, right=right)
        for row in cells:
            found.add_row(*(row[heading] for heading in chosen))
        return found

    first, others = list(headings), []
    for group in aside:
        if _fits(console, made(first)):
            break
        first = [heading for heading in first if heading not in group]
        others.append(made([*headings[:names], *(heading for heading in headings if heading in group)]))
    for one in (made(first), *reversed(others)):
        console.print(one)


def _fits(console: Console, table: Table) -> bool:
    """Whether no cell has to be broken over lines."""
    return Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table).maximum <= console.width
