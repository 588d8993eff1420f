"""The example script runs as it is printed."""

import shutil
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "predict_folder.py"


def test_it_tags_a_folder(tiny_bundle, tmp_path):
    (tmp_path / "below").mkdir()
    shutil.copy(tiny_bundle / "selftest" / "red.jpg", tmp_path / "below" / "red.JPG")
    shutil.copy(tiny_bundle / "selftest" / "teal.jpg", tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no image")
    done = subprocess.run(
        [sys.executable, SCRIPT, tiny_bundle, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        cwd=SCRIPT.parents[1],
    )
    bad, red, teal = done.stdout.splitlines()
    assert bad.startswith(f"{tmp_path / 'bad.png'}: cannot be decoded")
    assert red == f"{tmp_path / 'below' / 'red.JPG'} red 1.00"
    assert teal.startswith(f"{tmp_path / 'teal.jpg'} blue 0.92")
