"""A part of the page: a heading, a sentence on how to read it, figures, and the tables behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..page import Markup, element
from ..page.markup import Content


@dataclass(frozen=True)
class Section:
    """One part.

    Attributes:
        key: its anchor, and the name of its data.
        title: in the page's navigation too.
        lead: how to read it, in a sentence or two.
        body: what follows.
        figures: data of its figures by their names; see figures.js.
    """

    key: str
    title: str
    lead: str
    body: Markup
    figures: Mapping[str, Any] = field(default_factory=dict)

    def html(self) -> Markup:
        """With its heading."""
        return element(
            "section",
            element("h2", element("a", self.title, href=f"#{self.key}", class_="anchor"), id=f"{self.key}-title"),
            element("p", self.lead, class_="lead"),
            self.body,
            id=self.key,
            aria_labelledby=f"{self.key}-title",
        )


def figure(name: str, label: str, *, controls: Content = None) -> Markup:
    """Where figures.js draws; without scripts nothing is shown, and the table says it all.

    Args:
        name: of the figure's data and of the function that draws it.
        label: what is to be seen, for those who cannot see it, and below the figure.
        controls: choices above it.
    """
    return element(
        "figure",
        element("div", controls, class_="controls") if controls is not None else None,
        element("div", class_="plot", data_figure=name, data_label=label),
        element("figcaption", label),
        class_="chart",
    )


def choice(label: str, name: str, options: Sequence[tuple[str, str]]) -> Markup:
    """A labelled drop-down.

    Args:
        label: before it.
        name: by which figures.js asks for it.
        options: values and what they are called; the first is chosen.
    """
    listed = [element("option", said, value=value) for value, said in options]
    return element("label", f"{label} ", element("select", *listed, data_choice=name))


def folded(summary: str, *content: Content) -> Markup:
    """A table that is shown on request, and always on paper."""
    return element("details", element("summary", summary), *content)
