"""A tiny data set and job, so that a training takes a second."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

from edgedistill.distill.experiment import Experiment
from edgedistill.distill.recipe.load import load_recipe

sys.path.insert(0, str(Path(__file__).parent))  # `jobs` is also imported by scripts in processes of their own

import jobs
import teacher_cases
import tiny_network


@pytest.fixture(scope="session")
def tint_dataset():
    """Make N scenes of 32 px whose present classes brighten their own channel."""
    return jobs.tint_dataset


@pytest.fixture
def make_job(tmp_path):
    """A job on tints; keyword arguments replace the training settings."""

    def make(folder: str = "run", train=None, **settings):
        return jobs.tint_job(Path(tmp_path) / folder, train, **{"model": tiny_network.NAME, **settings})

    return make


@pytest.fixture
def make_model():
    """A freshly initialised student, the same every time; its step takes a millisecond."""
    return partial(jobs.tint_model, name=tiny_network.NAME)


class _Unnormalised(torch.autograd.Function):
    """A map of the same shape, through which scale and shift get gradients."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.channels = weight.shape
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, *(gradient.new_empty(ctx.channels) for _ in range(2))


@pytest.fixture
def shapes_alone(monkeypatch):
    """BatchNorm does nothing: without values it is twenty operators in Python, half of what a network costs."""

    def batch_norm(x, mean, variance, weight=None, bias=None, *_, **__):
        return x if weight is None else _Unnormalised.apply(x, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "batch_norm", batch_norm)


@pytest.fixture(scope="session")
def cpsd_recipe(tmp_path_factory) -> Path:
    """Two groups of three classes that occur together; a training takes a fraction of a second."""
    folder = tmp_path_factory.mktemp("tasks")
    rng = np.random.default_rng(0)
    for split, count in (("train", 64), ("test", 12)):
        rows = [",".join(("path", *jobs.CPSD_CLASSES))]
        for image in range(count):
            labels = (rng.random(6) < np.where(np.arange(6) // 3 == image % 2, 0.7, 0.1)).astype(int)
            pixels = rng.integers(0, 90, (32, 32, 3)) + 30 * (labels[:3] + labels[3:])
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{split}{image}.png")
            rows.append(f"{split}{image}.png," + ",".join(map(str, labels)))
        (folder / f"{split}.csv").write_text("\n".join(rows))
    content = {
        "data": {
            "train": {"format": "csv", "path": "train.csv"},
            "test": {"format": "csv", "path": "test.csv"},
            "validation": 0.25,
        },
        "input": {"size": 32},
        "student": {
            "model": {"name": tiny_network.NAME},
            "train": {"epochs": 1, "batch_size": 16, "lr": 0.003, "workers": 0},
        },
        "method": {"name": "cpsd", "k": 2},
        "tasks": {"train": {"epochs": 2}, "accept": True},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def open_cpsd(cpsd_recipe, tmp_path):
    """Open it below the test's own folder; texts change the recipe."""

    def make(*changes: str, output: Path = tmp_path) -> Experiment:
        return Experiment(load_recipe(cpsd_recipe, assignments=[f"output={output}", *changes]), Console(quiet=True))

    return make


@pytest.fixture(scope="session")
def cpsd_trained(cpsd_recipe, tmp_path_factory) -> Experiment:
    """All of it in one process, in order; not to be changed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("sequential")
    run = Experiment(load_recipe(cpsd_recipe, assignments=[f"output={output}"]), Console(quiet=True))
    run.student(run.teacher())
    torch.set_num_threads(before)
    return run


@pytest.fixture
def cache_case(tmp_path, tint_dataset):
    """A teacher, a small data set with an image without positives and an unknown label, and a place for a cache."""
    data = tint_dataset(teacher_cases.COUNT)
    labels = data.labels.copy()
    labels[4] = 0
    labels[5, 1] = -1
    return teacher_cases.Case(tmp_path / "caches", replace(data, labels=labels))
