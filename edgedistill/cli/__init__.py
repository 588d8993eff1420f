"""The one console script: `edgedistill <command>`.

Importing this costs nothing, so that Ctrl-C hardly ever comes before `main` can answer it: all else, typing included,
is imported inside.
"""

import sys


def main() -> None:
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
