"""The embedding's record and its drift: false alarms as seldom as said, and a real shift found."""

import hashlib

import msgspec
import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime.backends.base import Backend
from edgedistill.runtime.bundle import Bundle, Observed, describe_file, open_bundle, selection
from edgedistill.runtime.bundle.observed import moments, project, quantiles
from edgedistill.runtime.field.drift import compare_with_recorded
from edgedistill.runtime.field.recorded import Recorded
from edgedistill.runtime.field.scored import Scored
from edgedistill.runtime.tensors import EMBEDDING, TensorSpec

FEATURES = 64
MIXING = np.random.default_rng(99).normal(size=(8, FEATURES)) / 2


def embeddings(rng, count, moved=0.0):
    """Features as after a ReLU: skewed, and correlated by a few directions that all seeds share."""
    return np.maximum(0, rng.normal(size=(count, 8)) @ MIXING + rng.normal(size=(count, FEATURES))) + moved


def drift(before, now):
    summed = moments(before)
    recorded = Recorded(
        "before", len(before), np.zeros((1, 1), np.float32), np.zeros(1), summed, quantiles(project(before, summed))
    )
    shift = (now.mean(axis=0) - summed[0]) / summed[1]
    zeros = np.zeros((len(now), 1), np.float32)
    scored = Scored(zeros, zeros, np.ones(1), project(now, summed), shift)
    return compare_with_recorded(scored, recorded, ["only"], 0.95).embedding


def test_the_signs_are_those_that_the_page_describes():
    bits = hashlib.shake_256(b"edgedistill embedding projection").digest(FEATURES * 32 // 8)
    signs = np.array(
        [[(bits[(d * 32 + k) // 8] >> (7 - (d * 32 + k) % 8)) & 1 for k in range(32)] for d in range(FEATURES)]
    )
    rng = np.random.default_rng(0)
    found = project(rng.normal(size=(3, FEATURES)), np.stack([np.zeros(FEATURES), np.ones(FEATURES)]))
    again = np.random.default_rng(0).normal(size=(3, FEATURES))
    np.testing.assert_allclose(found[:, :32], again @ (2 * signs - 1) / np.sqrt(FEATURES), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, 32], np.sqrt((again**2).mean(axis=1)), rtol=1e-5)


def test_no_drift_is_seldom_called_one():
    rng = np.random.default_rng(1)
    alarms = sum(drift(embeddings(rng, 400), embeddings(rng, 80)).found for _ in range(60))
    assert alarms <= 8  # 5 % of 60 and a little chance
    assert drift(embeddings(rng, 400), embeddings(rng, 80)).shift < 0.1


def test_a_shift_is_found_and_measured():
    rng = np.random.default_rng(2)
    before = embeddings(rng, 400)
    found = drift(before, embeddings(rng, 200, moved=1.0 * before.std(axis=0)))
    assert found.found
    assert found.shift == pytest.approx(1.0, abs=0.2)
    assert found.far > 5
    assert drift(before, 0.4 * embeddings(rng, 200)).found  # nearer to nothing


class WithEmbedding(Backend):
    """The tiny model, whose embedding is the image's mean colour."""

    def __init__(self, model, logits):
        self.of = logits
        super().__init__(model)

    def _load(self):
        self.inputs, self.outputs, self.effective = self.model.inputs, self.model.outputs, {"library": "fake"}

    def _run(self, feeds):
        (images,) = feeds.values()
        logits = self.of(images)
        colours = images.mean(axis=(1, 2)).astype(np.float32) / 255
        return {"logits": logits, "probabilities": 1 / (1 + np.exp(-logits)), "embedding": colours}

    def _close(self):
        pass


def test_a_bundle_with_embeddings_is_checked_by_them(make_tiny_bundle, tiny_reference, monkeypatch, tmp_path):
    opened = open_bundle(make_tiny_bundle(tmp_path / "b"))
    rng = np.random.default_rng(3)

    def photographs(count, high=200):
        return np.broadcast_to(rng.integers(20, high, (count, 1, 1, 3)), (count, 16, 16, 3)).astype(np.uint8)

    def stored(name, values):
        np.save(tmp_path / "b" / name, values.astype(np.float32))
        return describe_file(tmp_path / "b" / name, tmp_path / "b")

    before = photographs(300)
    colours = before.mean(axis=(1, 2)) / 255
    summed = moments(colours)
    observed = Observed(
        dataset="validation",
        fingerprint="ab",
        images=300,
        logits=stored("logits.npy", quantiles(tiny_reference(before))),
        reported=(0.5,) * 4,
        embedding=stored("embedding.npy", summed),
        projections=stored("projections.npy", quantiles(project(colours, summed))),
    )
    spec = TensorSpec(name="embedding", dtype="float32", shape=("batch", 3), kind=EMBEDDING)
    manifest = msgspec.structs.replace(
        opened.manifest,
        outputs=(*opened.manifest.outputs, spec),
        artifacts=(msgspec.structs.replace(opened.manifest.artifacts[0], observed=observed),),
    )
    bundle = Bundle(opened.storage, manifest, b"")
    monkeypatch.setattr(selection, "open_artifact", lambda b, one, **_: WithEmbedding(b.model(one), tiny_reference))
    same = runtime.check(bundle, list(photographs(100)), to_label=3).drift.embedding
    assert not same.found
    darker = runtime.check(bundle, list(photographs(100, high=90)))
    assert darker.drift.embedding.found
    assert darker.drift.embedding.shift > 0.5
    assert any("The embeddings differ" in sentence for sentence in darker.conclusions)
