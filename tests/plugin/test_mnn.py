"""examples/mnn_backend: a format that a stranger adds is built, verified and benchmarked like ours."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tiny_network
import torch

from edgedistill.distill.checkpoint import ModelCard, save_student
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.runtime.preprocess import Preprocessing

TESTS = Path(__file__).parents[1]
EXAMPLE = TESTS.parent / "examples" / "mnn_backend"
MNN = os.environ.get("EDGEDISTILL_MNN", "")  # a folder that holds MNN, where it is not installed beside edgedistill
ORT, TARGET = "onnxruntime-cpu-fp32", "mnn-cpu-fp32"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not MNN and find_spec("MNN") is None,
        reason="MNN is not installed: `pip install --target DIR MNN`, and EDGEDISTILL_MNN=DIR",
    ),
]


@pytest.fixture(scope="module")
def ended(run, tinted_photographs, tmp_path_factory):
    """The commands with the example installed, and what a `pip` on the path was called with."""
    folder = tmp_path_factory.mktemp("mnn")
    tinted_photographs(folder, size=(40, 50), noise=60, tint=120)
    torch.manual_seed(0)
    model = build_from_spec(ModelSpec(name=tiny_network.NAME), 2)
    with torch.no_grad():  # statistics that keep the maps at unit scale, and logits that differ
        for norm in [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]:
            norm.momentum = 1.0
        model.train()(torch.randn(16, 3, 32, 32))
        model.eval().head.linear.weight *= 10
    card = ModelCard(
        edgedistill="0",
        name="tints",
        model=ModelSpec(name=tiny_network.NAME),
        classes=("red", "blue"),
        preprocessing=Preprocessing(size=(32, 32)),
        thresholds=(0.5, 0.5),
        recipe_sha256="ab" * 32,
    )
    save_student(folder / "student.safetensors", model, card)
    source = shutil.copytree(EXAMPLE, folder / "source")  # setuptools builds inside its source
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(source)], check=True, timeout=300)
    (folder / "bin").mkdir()
    (folder / "bin" / "pip").write_text(f'#!/bin/sh\necho "$@" >> {folder / "pip.log"}\n')
    (folder / "bin" / "pip").chmod(0o755)
    deploy = folder / "site" / "edgedistill_mnn" / "mnn-cpu-fp32.yaml"
    bundle, test = folder / "bundle", folder / "test.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder / "bin"), prepend=os.pathsep)
        commands = run(
            ("list", "backends", "--json"),
            ("export", folder / "student.safetensors", "-t", ORT, "-t", deploy, "--data", test, "-o", bundle),
            ("verify", bundle, "--data", test, "--json"),
            ("bench", bundle, "--preset", "demo", "--json"),
            ("predict", bundle, folder / "test0.jpg", "--backend", "mnn", "--json"),
            beside=os.pathsep.join([str(folder / "site"), MNN, str(TESTS)]),
            EDGEDISTILL_PLUGINS=tiny_network.__name__,
        )
    return commands, bundle, folder / "pip.log"


def artifact(report: str, name: str = TARGET) -> dict:
    return next(entry for entry in json.loads(report)["artifacts"] if entry["name"] == name)


def test_its_file_is_built_and_verified_by_its_own_library(ended):
    commands, bundle, _ = ended
    assert commands["export"].code == 0, commands["export"].err
    manifest = (bundle / "manifest.json").read_text(encoding="utf-8")
    found = artifact(manifest)
    assert (found["status"], found["format"]) == ("verified", "mnn"), found["reason"]
    assert [entry["path"] for entry in found["files"]] == ["mnn/model.fp32.mnn"]
    assert found["parity"]["runner"].startswith("MNN 3.")
    assert np.ptp([image["logits"] for image in json.loads(manifest)["selftest"]]) > 1
    assert 0 < found["parity"]["max_abs_logit"] < 1e-3
    assert json.loads(manifest)["provenance"]["toolchain"].keys() >= {"MNN", "edgedistill-mnn"}


def test_every_command_runs_it_and_standard_output_holds_json_alone(ended):
    commands, _, _ = ended
    row = next(row for row in json.loads(commands["backends"].out) if row["backend"] == "mnn")
    assert (row["opens"], row["here"]) == (".mnn", "yes")
    verified, measured = artifact(commands["verify"].out), artifact(commands["bench"].out)
    assert commands["verify"].code not in (1, 2, 3), commands["verify"].err
    assert commands["bench"].code not in (1, 2, 3), commands["bench"].err
    for report in (verified, measured):
        assert report["effective"]["library"].startswith("MNN 3.")
    (line,) = commands["predict"].out.splitlines()
    assert set(json.loads(line)["labels"]) <= {"red", "blue"}


def test_nothing_is_installed_behind_the_users_back(ended):
    assert not ended[2].exists(), ended[2].read_text()
