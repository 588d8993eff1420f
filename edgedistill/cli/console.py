"""Where things are printed: results on stdout, progress and messages on stderr, JSON alone when asked for."""

import sys

import msgspec
from rich.console import Console

# Without a terminal there is no width to fit: a table in a log or a pipe is never cut.
_PLAIN_WIDTH = 160

out = Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
err = Console(highlight=False, stderr=True, width=None if sys.stderr.isatty() else _PLAIN_WIDTH)


def print_json(value: object) -> None:
    """One JSON document on stdout, and nothing else."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2).decode() + "\n")


def print_json_line(value: object) -> None:
    """One line of JSON Lines on stdout."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=_plain).decode() + "\n")


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return value.tolist()
    return str(value)
