"""docs/python.md is run from top to bottom, as a reader would."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import page_reader
import pytest
from forked import Forked

pytestmark = pytest.mark.slow  # half a minute of trainings and exports
PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|sh|yaml)(?: title=\"(.*?)\")?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, _, text in BLOCKS if kind == "sh" for line in text.splitlines()]


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
    return folder, Forked(page_reader.run_python, str(folder), OMP_NUM_THREADS="1").wait(600)


def test_every_block_runs(reader):
    folder, ran = reader
    assert ran.code == 0, ran.err
    assert {"teacher", "student", "related", "tagged", "scored", "graph", "named"} <= {
        path.name for path in (folder / "runs").iterdir()
    }
    for bundle in ("bundle", "bundle_int8", "own_bundle"):
        assert statuses(folder / bundle) == ["verified"]
    loss, mean_ap = (float(line) for line in ran.out.splitlines() if re.fullmatch(r"\d+\.\d+", line))
    assert loss > 0
    assert mean_ap > 70, "the reader's own loop learns; chance is about 50"


def statuses(bundle):
    return [artifact["status"] for artifact in json.loads((bundle / "manifest.json").read_bytes())["artifacts"]]


def test_the_readers_own_loop_is_as_short_as_it_can_be_read():
    (loop,) = [text for _, _, text in BLOCKS if "losses.batch_and_instance_dependencies" in text]
    assert "losses.class_and_instance_aware" in loop
    assert len([line for line in loop.splitlines() if line.strip()]) <= 25


def test_the_command_line_knows_the_readers_backbone(reader):
    folder, _ = reader
    ran = Forked(page_reader.run_commands, str(folder), COMMANDS, OMP_NUM_THREADS="1").wait(600)
    assert ran.code == 0, ran.err
    assert "tiny_tints" in ran.out
    assert statuses(folder / "named_bundle") == ["verified"], "its checkpoint loads where its module is named alone"
    assert (folder / "runs" / "cpsd" / "student" / "student.safetensors").is_file()


def test_a_plugin_that_cannot_be_imported_is_one_line(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "edgedistill", "list", "backends"],
        cwd=tmp_path, env=os.environ | {"EDGEDISTILL_PLUGINS": "no_such_module"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode != 0
    assert "EDGEDISTILL_PLUGINS: the module 'no_such_module' cannot be imported" in ran.stderr
    assert "lies in the current folder or in one of PYTHONPATH" in ran.stderr
    assert "Traceback" not in ran.stderr
