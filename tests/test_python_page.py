"""docs/python.md is run from top to bottom, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|sh)(?: title=\"(.*?)\")?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The page's Python in one script, its files beside it, and what it printed."""
    folder = tmp_path_factory.mktemp("page")
    script = []
    for kind, title, text in BLOCKS:
        if title:
            (folder / title).write_text(text, encoding="utf-8")
        elif kind == "python":
            script.append(text)
    (folder / "page.py").write_text("\n".join(script), encoding="utf-8")
    ran = subprocess.run([sys.executable, "page.py"], cwd=folder, capture_output=True, text=True, check=False)
    return folder, ran


def test_every_block_runs(reader):
    folder, ran = reader
    assert ran.returncode == 0, ran.stderr
    assert {"teacher", "student", "related", "tagged", "scored", "graph", "named"} == {
        path.name for path in (folder / "runs").iterdir()
    }
    assert (folder / "bundle" / "manifest.json").is_file()


def test_the_command_line_lists_the_readers_backbone(reader):
    folder, _ = reader
    (commands,) = [text for kind, _, text in BLOCKS if kind == "sh"]
    name = re.search(r"EDGEDISTILL_PLUGINS=(\w+)", commands).group(1)
    listed = subprocess.run(
        [sys.executable, "-m", "edgedistill", *commands.splitlines()[1].split()[1:]],
        cwd=folder, env=os.environ | {"EDGEDISTILL_PLUGINS": name}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "tiny_tints" in listed.stdout


def test_a_plugin_that_cannot_be_imported_is_one_line(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "edgedistill", "list", "models"],
        cwd=tmp_path, env=os.environ | {"EDGEDISTILL_PLUGINS": "no_such_module"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode != 0
    assert "EDGEDISTILL_PLUGINS: the module 'no_such_module' cannot be imported" in ran.stderr
    assert "Traceback" not in ran.stderr
