"""Where things are printed: results on stdout, progress and messages on stderr, JSON alone when asked for."""

import json
import re
import sys

import msgspec
from rich import markup
from rich.console import Console

from edgedistill.runtime.errors import printable as in_one_line
from edgedistill.runtime.json_text import encode_json

from .processes import speaking_rank

# Without a terminal there is no width to fit: a table in a log or a pipe is never cut.
_PLAIN_WIDTH = 160

# Of several processes the first speaks for all; a fault is told by whoever has it.
_silent = speaking_rank() > 0

# Names are the user's: `:dog:` is no emoji. What is printed goes through `escape` where it may hold brackets.
out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH, quiet=_silent)
err = Console(
    highlight=False, emoji=False, stderr=True, width=None if sys.stderr.isatty() else _PLAIN_WIDTH, quiet=_silent
)
faults = Console(highlight=False, emoji=False, stderr=True, width=err.width)


def escape(text: str) -> str:
    r"""Text that a console prints as it stands: brackets are no markup, and what steers a terminal is told as `\x1b`.

    Names of classes, files and artifacts and a library's words come from whoever wrote the bundle.
    """
    return markup.escape(in_one_line(text))


def print_json(value: object) -> None:
    """One JSON document on stdout, and nothing else."""
    if not _silent:
        _write_json(msgspec.json.format(encode_json(value, _plain), indent=2))


def print_json_line(value: object) -> None:
    """One line of JSON Lines on stdout, at once: its reader may be waiting for it."""
    if not _silent:
        _write_json(encode_json(value, _plain))
        sys.stdout.flush()


def _write_json(encoded: bytes) -> None:
    text = encoded.decode()
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # JSON has escapes of its own, unlike those of the stream
        text = re.sub(r"[^\x00-\x7f]+", lambda found: json.dumps(found[0])[1:-1], text)
    sys.stdout.write(text + "\n")


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return value.tolist()
    return str(value)
