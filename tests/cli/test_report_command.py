"""`report` as a user calls it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path


def test_it_writes_into_the_bundle_and_says_where(tiny_bundle, command, tmp_path):
    root = Path(shutil.copytree(tiny_bundle, tmp_path / "b"))
    code, out, err = command("report", root)
    assert code == 0, err
    assert out.startswith(f"{root / 'report.html'}  ")
    assert json.loads(command("report", root, "--json")[1]) == {
        "report": str(root / "report.html"),
        "bytes": (root / "report.html").stat().st_size,
    }
    assert command("selftest", root, "-a", "ort-fp32")[0] == 0  # nothing else reads it
    assert command("inspect", root)[0] == 0


def test_what_is_not_ours_stays(tiny_bundle, command, tmp_path):
    place = tmp_path / "thesis.html"
    place.write_text("years of work")
    code, _, err = command("report", tiny_bundle, "-o", place)
    assert code == 2
    assert err.strip() == (
        f"error: {place}: is no page that `edgedistill report` wrote: not replaced. Give another place."
    )
    assert command("report", tiny_bundle, "-o", tmp_path)[0] == 2
    assert command("report", tmp_path)[0] == 2
    assert place.read_text() == "years of work"


def test_neither_it_nor_push_needs_torch(tiny_bundle, tmp_path):
    program = (
        "import sys\nfor name in ('torch', 'onnx', 'huggingface_hub'): sys.modules[name] = None\n"
        "from edgedistill.cli import main\nmain()"
    )
    for arguments, code in (
        (["report", tiny_bundle, "-o", tmp_path / "page.html"], 0),
        (["push", tiny_bundle, "a/b"], 3),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
    assert 'pip install "edgedistill[hub]"' in done.stderr
