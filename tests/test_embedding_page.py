"""docs/embedding.md is followed as a reader would, with the tests' bundle, and its links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "embedding.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+ ?\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line.partition("#")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_tiny_bundle):
    """The reader's: a bundle and two photographs."""
    root = tmp_path_factory.mktemp("reader")
    bundle = make_tiny_bundle(root / "bundle")
    for name, photograph in (("photo.jpg", "red.jpg"), ("sky.jpg", "teal.jpg")):
        shutil.copyfile(bundle / "selftest" / photograph, root / name)
    return root


def run(folder, *arguments):
    environment = os.environ | {"PYTHONPATH": str(DOCS.parent)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def block(kind):
    [text] = [text for found, text in BLOCKS if found == kind]
    return text


def test_python(folder):
    assert run(folder, "-m", "edgedistill", "selftest", "bundle").returncode == 0
    assert "edgedistill selftest bundle" in COMMANDS
    done = run(folder, "-c", block("python"))
    assert done.returncode == 0, done.stderr
    assert [line.split("{")[0] for line in done.stdout.splitlines()] == ["photo.jpg ", "sky.jpg "]
    assert "'red'" in done.stdout


def test_a_server_and_its_client(folder):
    pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    pytest.importorskip("prometheus_client", reason="the extra `serve` is not installed")
    [serve] = [line for line in COMMANDS if line.startswith("edgedistill serve")]
    command = [sys.executable, "-m", *serve.split(), "--port", "0"]  # the page's port may be taken here
    environment = os.environ | {"PYTHONPATH": str(DOCS.parent)}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            port = re.search(r"http://127\.0\.0\.1:(\d+)/", server.stderr.readline())
            done = run(folder, "-c", block("python client").replace(":8000/", f":{port[1]}/"))
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
    assert "'red'" in done.stdout


def test_every_kind_of_app_is_one(folder):
    """The kinds have pages and tests of their own; here each is known, and each that an app embeds has a row."""
    kinds = set(re.findall(r"`edgedistill app (\w+) bundle", PAGE))
    done = run(folder, "-m", "edgedistill", "app", "none", "bundle", "-o", "none")
    assert done.returncode == 2
    known = set(re.findall(r"\w+", done.stderr))
    assert kinds == {"web", "node", "cpp", "android", "ios", "react_native"}
    assert kinds <= known, done.stderr


def test_every_link_leads_somewhere():
    for path, anchor in re.findall(r"\]\(([\w./]*)#?([\w-]*)\)", PAGE):
        target = DOCS / path if path else DOCS / "embedding.md"
        assert target.is_file(), path
        headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, f"{path}#{anchor}"
