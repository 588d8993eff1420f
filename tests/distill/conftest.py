"""A tiny data set and job, so that a training takes a second."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `jobs` is also imported by scripts in processes of their own

import jobs


@pytest.fixture(scope="session")
def tint_dataset():
    """Make N scenes of 32 px whose present classes brighten their own channel."""
    return jobs.tint_dataset


@pytest.fixture
def make_job(tmp_path):
    """A job on tints; keyword arguments replace the training settings."""

    def make(folder: str = "run", train=None, **settings):
        return jobs.tint_job(Path(tmp_path) / folder, train, **settings)

    return make


@pytest.fixture
def make_model():
    """A freshly initialised student, the same every time."""
    return jobs.tint_model
