"""docs/serve.md is followed as a reader would, and its tables are what the server answers."""

import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgedistill import runtime
from edgedistill.cli.commands.serve import serve

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}

pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
pytest.importorskip("prometheus_client", reason="the extra `serve` is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_tiny_bundle) -> Path:
    """The reader's: a bundle and a photograph."""
    root = tmp_path_factory.mktemp("reader")
    bundle = make_tiny_bundle(root / "bundle")
    shutil.copyfile(bundle / "selftest" / "red.jpg", root / "photo.jpg")
    return root


def block(kind: str) -> str:
    [text] = [text for found, text in BLOCKS if found == kind]
    return text


def test_the_commands(folder):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl here: install the package `curl`")
    install, begin, *asks = block("sh").splitlines()
    assert install == 'pip install "edgedistill[onnxruntime,serve]"'
    command = [sys.executable, "-m", *shlex.split(begin, comments=True), "--port", "0"]  # the page's may be taken here
    answers = []
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as server:
        try:
            port = re.search(r"http://127\.0\.0\.1:(\d+)/", server.stderr.readline())
            for line in asks:
                program, *arguments = shlex.split(line.replace(":8000/", f":{port[1]}/"), comments=True)
                assert program == "curl"
                done = subprocess.run([curl, "-sS", *arguments], cwd=folder, capture_output=True, text=True, check=True)
                answers.append(json.loads(done.stdout)["labels"])
        finally:
            server.terminate()
    assert [list(labels)[:1] for labels in answers] == [["red"], ["red"]]
    assert [len(labels) for labels in answers] == [1, 3]


def test_an_app_of_your_own(folder):
    pytest.importorskip("httpx", reason="the test client of FastAPI")
    program = block("python") + (
        "from fastapi.testclient import TestClient\n"
        "with TestClient(app) as client:\n"
        "    print(client.post('/predict', content=open('photo.jpg', 'rb').read()).text)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labels"].keys() == {"red"}


def test_the_tables_are_the_servers(tiny_bundle):
    from edgedistill.runtime.serving.app import build_app

    with runtime.load(tiny_bundle, name="ort-fp32") as predictor:
        app = build_app(predictor)
    answers = app.openapi()["paths"]["/predict"]["post"]["responses"]
    assert set(re.findall(r"^\| (\d{3}) \|", PAGE, re.MULTILINE)) == set(answers) - {"200"}
    paths = {route.path for route in app.routes} - {"/docs/oauth2-redirect"}
    assert set(re.findall(r"`(?:GET |POST )?(/[\w./]+)`", PAGE)) == paths


def test_its_options_are_the_commands():
    known = {f"--{name.replace('_', '-')}" for name in inspect.signature(serve).parameters}
    elsewhere = {"--batch-size", "--data-binary", "--json"}  # of bench, of curl, of predict
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", PAGE)) - elsewhere <= known
