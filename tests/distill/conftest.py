"""A tiny data set and job, so that a training takes a second."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgedistill.distill.checkpoint import ModelCard
from edgedistill.distill.engine import Job, TrainSettings
from edgedistill.distill.methods import build_method
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.preprocess import Preprocessing

CLASSES = ("red", "green", "blue")


@pytest.fixture(scope="session")
def tint_dataset():
    """Make N scenes of 32 px whose present classes brighten their own channel."""

    def make(count: int, seed: int = 0, name: str = "tints") -> Dataset:
        rng = np.random.default_rng(seed)
        labels = (rng.random((count, 3)) < 0.5).astype(np.int8)
        noise = rng.integers(0, 90, (count, 32, 32, 3))
        images = (noise + 140 * labels[:, None, None, :].astype(int)).clip(0, 255).astype(np.uint8)
        return Dataset(name, CLASSES, tuple(f"{name}-{i}" for i in range(count)), images, labels)

    return make


@pytest.fixture
def make_job(tint_dataset, tmp_path):
    """A job on tints; keyword arguments replace the training settings."""

    def make(folder: str = "run", train: Dataset | None = None, **settings) -> Job:
        spec = ModelSpec(name="shufflenetv2", width=0.5)
        defaults = {"epochs": 2, "batch_size": 16, "lr": 3e-3, "augment": ["shift", "cutout"], "ema": 0.9}
        return Job(
            title="student",
            folder=Path(tmp_path) / folder,
            checkpoint="student.safetensors",
            card=ModelCard(
                edgedistill="0",
                name="tints",
                model=spec,
                classes=CLASSES,
                preprocessing=Preprocessing(size=(32, 32)),
                thresholds=(0.5,) * 3,
            ),
            train=train or tint_dataset(64),
            validation=tint_dataset(32, seed=1, name="validation"),
            method=build_method("vanilla"),
            settings=TrainSettings(**{**defaults, **settings}),
            seed=3,
            identity="job",
        )

    return make


@pytest.fixture
def make_model():
    """A freshly initialised student, the same every time."""

    def make(branches=()):
        torch.manual_seed(0)
        return build_from_spec(ModelSpec(name="shufflenetv2", width=0.5, branches=list(branches)), 3)

    return make
