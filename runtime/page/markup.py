"""HTML elements whose text is always escaped: a file name or a class name can add nothing to a page."""

from html import escape
from typing import TypeAlias

_VOID = frozenset({"br", "hr", "img", "meta"})


class Markup(str):
    """Text that is HTML already; every other text is escaped where it becomes part of an element."""

    __slots__ = ()


Content: TypeAlias = "Markup | str | int | float | None"


def element(name: str, /, *content: Content, **attributes: str | int | float | None) -> Markup:
    """`<name attributes>content</name>`.

    Args:
        name: of the element.
        content: one after the other; None is left out, and what is no `Markup` is escaped.
        attributes: by name, with `class_` for `class` and `_` for `-`; None leaves one out.
    """
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(printable_html(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{named}>")
    return Markup(f"<{name}{named}>{joined(*content)}</{name}>")


def joined(*content: Content) -> Markup:
    """Contents one after the other."""
    return Markup("".join(_html(one) for one in content if one is not None))


def printable_html(text: str) -> str:
    """The text without half characters, which a file name may hold and no file in UTF-8 can."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _html(content: Content) -> str:
    return content if isinstance(content, Markup) else escape(printable_html(str(content)))
