"""Command lines in one process, as a user's shell would run them where further distributions are installed."""

import contextlib
import importlib
import io
import json
import logging
import os
import sys
from pathlib import Path

from shared_traces import running_here

from edgedistill.runtime.bench import artifact_run
from edgedistill.runtime.bench.messages import Measure
from edgedistill.runtime.bench.plan import PLANS, BenchPlan


def run(arguments: list[str]) -> tuple[object, str, str]:
    """Exit code, stdout and stderr of one."""
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


def run_all(lines: list[list[str]], answers: str) -> None:
    """In a process of its own, with PYTHONPATH as a new interpreter would read it; `answers` gets what `run` gives."""
    sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)
    importlib.invalidate_caches()
    logging.getLogger("edgedistill").addHandler(logging.StreamHandler())  # the first stderr: the parent reads it
    PLANS["demo"] = BenchPlan(queries=100, seconds=0.0, rounds=2)
    artifact_run._WARM_UP = Measure(queries=1, seconds=0.0)
    with running_here():
        Path(answers).write_text(json.dumps([run(line) for line in lines]))
