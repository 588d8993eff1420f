"""What a reader of a page does, in processes of its own."""

import os
import runpy
import sys

from shared_traces import running_here


def run_python(folder: str) -> None:
    """In a process of its own: `python page.py`."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    with running_here():
        runpy.run_path("page.py", run_name="__main__")


def run_commands(folder: str, lines: list[str]) -> None:
    """In another, which has imported nothing of the reader's."""
    from edgedistill.cli import main

    os.chdir(folder)
    for line in lines:
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            os.environ[name] = value
            continue
        sys.argv = line.split()
        try:
            main()
        except SystemExit as left:
            if left.code:
                raise
