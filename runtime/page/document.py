"""A whole page: its head, the style that all pages share, and tables that a phone can scroll."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from ..files import write_atomic
from .markup import Content, Markup, element, joined


def document(title: str, *body: Content, head: Markup | None = None) -> str:
    """A complete HTML file.

    Args:
        title: shown by the browser; the body has its own heading.
        body: the page's content.
        head: further elements of the head, e.g. a page's own script.
    """
    told = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        Markup(f"<style>{style()}</style>"),
        head,
    )
    page = element("html", told, element("body", element("main", *body)), lang="en")
    return f"<!doctype html>\n{page}\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[Content]], *, numbers: Sequence[str] = ()) -> Markup:
    """A table in a box that scrolls sideways where it is wider than the screen.

    Args:
        headings: one a column.
        rows: as many cells each.
        numbers: headings whose columns are aligned to the right.
    """
    kinds = ["number" if heading in numbers else None for heading in headings]
    top = element("tr", *(element("th", h, scope="col", class_=kind) for h, kind in zip(headings, kinds, strict=True)))
    lines = [
        element("tr", *(element("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)))
        for row in rows
    ]
    made = element("table", element("thead", top), element("tbody", *lines))
    return element("div", made, class_="scroll")


def verdict(word: str) -> Markup:
    """A verdict's word as a coloured mark."""
    return element("span", word, class_=joined("verdict ", word.replace(" ", "-")))


def write_page(path: str | Path, page: str) -> Path:
    """Write a page whole or not at all.

    Raises:
        EdgedistillError: the folder cannot be written.
    """
    write_atomic(Path(path), page)
    return Path(path)


@cache
def style() -> str:
    """The style sheet that all pages share."""
    return resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
