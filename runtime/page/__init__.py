"""One self-contained HTML file for people: no network, no further package; for screens large and small and for paper.

Made where the numbers are made, so also on a device that has numpy and Pillow alone: hence a few functions that escape
what they are given, and no template language.
"""

from .document import document, table, verdict, write_page
from .markup import Markup, element
from .thumbnails import thumbnail

__all__ = ["Markup", "document", "element", "table", "thumbnail", "verdict", "write_page"]
