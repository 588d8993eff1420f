"""A small form of benchmarks/fuzz.py: nothing that a stranger hands us crashes, hangs, or changes an answer unseen."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


@pytest.mark.skipif(sys.platform == "win32", reason="each case is a forked child")
@pytest.mark.parametrize("cases", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_cases_are_sound(tmp_path, cases):
    out = tmp_path / "fuzz.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--cases", str(cases), "--jobs", "1", "--seconds", "60", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    record = json.loads(out.read_text())
    assert record["cases"] >= cases
    assert record["unsound"] == []
    assert {name.partition("/")[2] for name in record["outcomes"]} == {"answered", "one line"}
