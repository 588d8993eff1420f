"""docs/web.md: what its reader copies runs, and its figures are those of what is made."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from npm import NODE, npm_packages
from site_server import Site

from edgedistill.export.packages.web import ONNXRUNTIME
from edgedistill.runtime.formatting import size

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "web.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def block(kind: str, holds: str) -> str:
    (found,) = [text for name, text in BLOCKS if name == kind and holds in text]
    return found


def shell(lines: str, folder: Path, modules: Path) -> str:
    """Run a block as a shell does; npm's part is done by what the tests have of npm already."""
    edgedistill = folder / "bin" / "edgedistill"
    edgedistill.parent.mkdir(exist_ok=True)
    edgedistill.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m edgedistill "$@"\n')
    edgedistill.chmod(0o755)
    lines = re.sub(r"^\w+=skip npm install\b", f"ln -s {modules} node_modules", lines, flags=re.MULTILINE)
    environment = {
        **os.environ,
        "PATH": f"{edgedistill.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "EDGEDISTILL_ASSETS": str(modules),
    }
    done = subprocess.run(
        ["sh", "-ec", lines], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def here(tiny_bundle, tmp_path) -> Path:
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    return tmp_path


def test_every_block_is_run_here():
    assert [kind for kind, _ in BLOCKS] == ["sh", "html", "sh", "js"]


def test_nodes_blocks(here):
    modules = npm_packages("onnxruntime-node@1.30.0", "sharp@0.35.5")
    photograph = here / "bundle" / "selftest" / "red.jpg"
    said = shell(block("sh", "npm install").replace("photo.jpg", str(photograph)), here, modules)
    assert "ort-fp32: passed" in said
    assert '"label":"red"' in said
    app = here / "app"
    (app / "mine.mjs").write_text(block("js", "node.js"))
    shutil.copy(photograph, app / "photo.jpg")
    assert subprocess.check_output([str(NODE), "mine.mjs"], cwd=app, text=True).startswith("red 1.00")


@pytest.mark.slow
def test_the_browsers_blocks_and_figures(here, browser):
    modules = npm_packages(f"onnxruntime-web@{ONNXRUNTIME}")
    command, server = block("sh", "http.server").splitlines()
    shell(command, here, modules)
    assert server == "python3 -m http.server 8000 --bind 127.0.0.1 --directory site"
    (here / "site" / "mine.html").write_text(block("html", "module"))
    site = Site(here / "site")
    try:
        page = browser.new_page()
        page.goto(f"{site.url}mine.html")
        page.wait_for_load_state("networkidle")
        page.locator("input").set_input_files(here / "bundle" / "selftest" / "red.jpg")
        page.locator("output", has_text="red 1.00").wait_for(timeout=30_000)
    finally:
        site.stop()
    readme = (here / "site" / "README.md").read_text(encoding="utf-8")
    cpu, gpu = (
        size(sum((here / "site" / "ort" / name).stat().st_size for name in names))
        for names in (
            ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
            ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
        )
    )
    for text in (PAGE, readme):
        assert cpu in text
        assert gpu in text
    assert f"onnxruntime-web@{ONNXRUNTIME}" in PAGE


def test_versions_are_those_that_were_tried():
    package = json.loads(
        re.sub(r"\{\{\w+\}\}", "x", (ROOT / "export/packages/templates/node/package.json").read_text(encoding="utf-8"))
    )
    assert package["dependencies"] == {"onnxruntime-node": "^1.30.0", "sharp": "^0.35.0"}
    assert package["engines"]["node"] == ">=20.9"
    assert "Node.js 20.9 or newer" in PAGE
