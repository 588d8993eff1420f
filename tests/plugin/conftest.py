"""The toy distribution, installed beside ours; one chain with it, and the same bundle opened without it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from commands import run_all
from forked import Forked

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[2]
CLASSES = ("red", "green", "blue")
SIZE = 32


class Ended(NamedTuple):
    """How a command ended; `warnings` are those of its whole process."""

    code: int
    out: str
    err: str
    warnings: str


def run_commands(*lines: tuple, beside: Path | str | None = None, **environment: str) -> dict[str, Ended]:
    """The command lines in one child process, by their first word; `list` by its second.

    Args:
        lines: arguments of each.
        beside: a folder of further distributions, or several.
        environment: variables of the process.
    """
    path = os.pathsep.join(str(part) for part in (beside, ROOT) if part)
    answers = Path(tempfile.mkdtemp()) / "answers.json"
    given = [[str(word) for word in line] for line in lines]
    environment = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment}
    done = Forked(run_all, given, str(answers), **environment).wait(600)
    assert done.code == 0, done.err
    results = json.loads(answers.read_text())
    names = [line[1] if line[0] == "list" else line[0] for line in lines]
    return {name: Ended(*result, done.err) for name, result in zip(names, results, strict=True)}


@pytest.fixture(scope="session")
def run():
    return run_commands


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Path:
    """The folder that pip installed the toy distribution into."""
    folder = tmp_path_factory.mktemp("toy")
    source = shutil.copytree(HERE / "edgedistill_toy", folder / "source")  # setuptools builds inside its source
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(source)], check=True, timeout=300)
    return folder / "site"


@pytest.fixture(scope="session")
def work(toy, tmp_path_factory) -> Path:
    """Data in the toy's format, photographs, and a recipe that trains the toy's model by the toy's method."""
    folder = tmp_path_factory.mktemp("work")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (80, 3)).astype(np.int8)
    images = np.clip(60 + 120 * labels[:, None, None].astype(int) + rng.integers(-40, 40, (80, SIZE, SIZE, 3)), 0, 255)
    for name, part in (("train", slice(48)), ("test", slice(48, None))):
        np.savez(folder / f"{name}.npz", images=images[part].astype(np.uint8), labels=labels[part], classes=CLASSES)
    (folder / "photos").mkdir()
    for number in range(3):
        Image.fromarray(images[number].astype(np.uint8)).resize((50, 40)).save(folder / "photos" / f"{number}.jpg")
    model = {"model": {"name": "toy_mean"}, "train": {"epochs": 1, "batch_size": 16, "lr": 0.05, "augment": []}}
    recipe = {
        "name": "toy",
        "data": {
            "train": {"format": "toy_arrays", "path": "train.npz"},
            "test": {"format": "toy_arrays", "path": "test.npz"},
            "validation": 0.25,
        },
        "input": {"size": SIZE},
        "teacher": {**model, "accept": True},
        "student": model,
        "method": {"name": "toy_agree", "lambda_agree": 0.1},
        "output": str(folder / "runs"),
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


@pytest.fixture(scope="session")
def bundle(work) -> Path:
    return work / "bundle"


@pytest.fixture(scope="session")
def with_toy(toy, work, bundle) -> dict[str, Ended]:
    """The whole chain with the toy distribution, in one process; only `bench` starts further ones."""
    target = toy / "edgedistill_toy" / "toy-cpu-half_weights.yaml"
    student = work / "runs" / "toy" / "student" / "student.safetensors"
    export = ("-t", "onnxruntime-cpu-fp32", "-t", target, "--data", work / "test.npz", "-o", bundle)
    return run_commands(
        *(("list", kind) for kind in ("backends", "datasets", "models", "methods")),
        ("distill", work / "recipe.yaml"),
        ("export", student, *export),
        ("inspect", bundle),
        ("selftest", bundle, "--json"),
        ("verify", bundle, "--data", work / "test.npz", "--json"),
        ("bench", bundle, "--preset", "demo", "--json"),
        ("predict", bundle, work / "photos", "--backend", "toy", "--json"),
        beside=toy,
    )


@pytest.fixture(scope="session")
def without_toy(with_toy, work, bundle) -> dict[str, Ended]:
    """The same bundle where the toy distribution is not installed."""
    return run_commands(
        ("list", "backends"),
        ("inspect", bundle),
        ("selftest", bundle, "--json"),
        ("verify", bundle, "--data", photographs_csv(work), "--json"),
        ("bench", bundle, "--preset", "demo", "--json"),
        ("predict", bundle, work / "photos", "--json"),
    )


def photographs_csv(work: Path) -> Path:
    path = work / "photos.csv"
    rows = [f"photos/{number}.jpg,{label}" for number, label in enumerate(CLASSES)]
    path.write_text("\n".join(["path,labels", *rows]) + "\n")
    return path
