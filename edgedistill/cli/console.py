"""Where things are printed: results on stdout, progress and messages on stderr, JSON alone when asked for."""

import sys

import msgspec
from rich.console import Console

from .processes import process_rank

# Without a terminal there is no width to fit: a table in a log or a pipe is never cut.
_PLAIN_WIDTH = 160

# Of several processes the first speaks for all; a fault is told by whoever has it.
_silent = process_rank() > 0

out = Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH, quiet=_silent)
err = Console(highlight=False, stderr=True, width=None if sys.stderr.isatty() else _PLAIN_WIDTH, quiet=_silent)
faults = Console(highlight=False, stderr=True, width=err.width)


def print_json(value: object) -> None:
    """One JSON document on stdout, and nothing else."""
    if _silent:
        return
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2).decode() + "\n")


def print_json_line(value: object) -> None:
    """One line of JSON Lines on stdout."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=_plain).decode() + "\n")


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return value.tolist()
    return str(value)
