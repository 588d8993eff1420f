"""The example scripts run as they are printed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
    bad, teal, red = done.stdout.splitlines()
    assert bad.startswith(f"{tmp_path / 'bad.png'}: cannot be decoded")
    assert red == f"{tmp_path / 'below' / 'red.JPG'} red 1.00"
    assert teal.startswith(f"{tmp_path / 'teal.jpg'} blue 0.92")


@pytest.mark.slow  # Ray takes ten seconds to start and end
def test_it_labels_a_folder_on_a_local_ray(tiny_bundle, tmp_path):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from pyarrow import parquet

    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for number in range(12):
        shutil.copy(tiny_bundle / "selftest" / ("red.jpg", "teal.jpg")[number % 2], photos / f"{number:02}.jpg")
    (photos / "05.jpg").write_bytes(b"no image")
    (photos / "12.jpg").symlink_to("nothing.jpg")
    script = SCRIPT.with_name("predict_ray.py")
    subprocess.run(
        [sys.executable, script, tiny_bundle, photos, out, "--workers", "2", "--batch", "3"],
        capture_output=True,
        check=True,
        cwd=SCRIPT.parents[1],
        timeout=300,
    )
    rows = sorted(parquet.read_table(out).to_pylist(), key=lambda row: row["path"])
    assert [row["path"] for row in rows] == [str(photos / f"{number:02}.jpg") for number in range(13)]
    assert [row["labels"][:1] for row in rows] == [
        ["red"],
        ["blue"],
        ["red"],
        ["blue"],
        ["red"],
        [],
        *[["red"], ["blue"]] * 3,
        [],
    ]
    assert rows[5]["error"].startswith("cannot be decoded (")
    assert rows[12]["error"] == "no such image"
    assert rows[0]["probabilities"][0] > 0.9
    command = [sys.executable, script, tiny_bundle, tmp_path / "nowhere", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SCRIPT.parents[1])
    assert done.returncode == 1
    assert "nowhere: cannot be opened" in done.stderr
