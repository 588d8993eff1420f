"""A small form of benchmarks/endurance.py: with faults among them no prediction is lost, and memory stays."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "endurance.py"


def endure(tmp_path, *options) -> tuple[int, dict]:
    out = tmp_path / "endurance.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--parts", "predictions", "--save", str(out), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert out.exists(), done.stderr
    return done.returncode, json.loads(out.read_text())["parts"]["predictions"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_with_faults_among_them_no_prediction_is_lost_and_memory_stays(tmp_path):
    _, found = endure(tmp_path, "--predictions", "2000")
    assert found["lost"] == []
    assert found["counts"]["predictions"] >= 2000
    assert min(found["counts"].values()) > 5  # the faults were there
    # Caches and the threads' arenas still fill: the full form goes on until it tells bytes a prediction.
    assert found["growth"]["last_mb"] - found["growth"]["first_mb"] < 5


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_leak_would_be_seen(tmp_path):
    code, found = endure(tmp_path, "--predictions", "1000", "--leak", "20000")
    assert code == 1
    assert found["growth"]["low"] > 10_000
