"""The one console script: `edgedistill <command>`.

Importing this costs nothing: what can be interrupted while it is imported is imported inside `main`.
"""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit with its code; a user's mistake prints one line and never a traceback."""
    try:
        from . import streams

        streams.prepare()
        from .app import run

        code = streams.finish(run)
    except KeyboardInterrupt:  # before a command began, or while it ended
        if sys.stderr is not None:  # the parent closed it
            sys.stderr.write("error: interrupted.\n")
        code = 130
    sys.exit(code)


__all__ = ["main"]
