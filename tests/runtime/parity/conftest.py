"""A bundle that a test may write to, labelled images with the model's logits, and backends that are functions."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgedistill.runtime.backends.base import Backend
from edgedistill.runtime.bundle import open_bundle, selection

sys.path.insert(0, str(Path(__file__).parent))

from verify_cases import flat


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    """A tiny bundle that a test may write to."""
    return open_bundle(make_tiny_bundle(tmp_path / "tiny"))


@pytest.fixture
def data(tiny_reference):
    return flat(tiny_reference, 40)


@pytest.fixture
def logits(data, tiny_reference):
    """The training framework's logits on `data`."""
    return tiny_reference(np.stack(data.images))


class FakeBackend(Backend):
    """Stands in for an opened artifact: outputs are a function of the images."""

    def __init__(self, model, function):
        self.function, self.closed = function, False
        super().__init__(model)

    def _load(self):
        self.inputs, self.outputs, self.effective = self.model.inputs, self.model.outputs, {"library": "fake"}

    def _run(self, feeds):
        (images,) = feeds.values()
        logits = self.function(images).astype(np.float32)
        return {"logits": logits, "probabilities": (1 / (1 + np.exp(-logits))).astype(np.float32)}

    def _close(self):
        self.closed = True


@pytest.fixture
def fake(monkeypatch):
    """Replace the backends: artifact name -> function of images, or an exception to raise on load."""
    opened = SimpleNamespace(backends=[])

    def install(**functions):
        def open_artifact(bundle, artifact, *, threads=None, device=None):
            made = functions[artifact.name.replace("-", "_")]
            if isinstance(made, Exception):
                raise made
            opened.backends.append(FakeBackend(bundle.model(artifact), made))
            return opened.backends[-1]

        monkeypatch.setattr(selection, "open_artifact", open_artifact)
        return opened

    return install
