"""Run command lines in one process, as a user's shell would: prints a JSON list of [exit code, stdout, stderr].

Usage: python commands.py '[["list", "backends"], ...]'
"""

import contextlib
import io
import json
import logging
import sys


def run(arguments: list[str]) -> tuple[object, str, str]:
    from edgedistill.cli import main

    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["edgedistill", *arguments]
    code: object = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as left:
            code = left.code
    return code, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    logging.getLogger("edgedistill").addHandler(logging.StreamHandler())  # the first stderr: the parent reads it
    print(json.dumps([run(line) for line in json.loads(sys.argv[1])]))
