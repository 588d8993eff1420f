"""From a trained student to artifacts that say the same: the promise of an fp32 export, on a whole test split."""

from dataclasses import replace

import numpy as np
import pytest
import tiny_network
from jobs import tint_dataset, tint_job, tint_model
from rich.console import Console

from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.engine import fit, predict_logits
from edgedistill.export import export_bundle
from edgedistill.runtime import verify

pytestmark = pytest.mark.usefixtures("children_here", "traced_once")


@pytest.fixture(scope="module")
def trained(one_thread, tmp_path_factory):
    name = tiny_network.NAME
    job = tint_job(tmp_path_factory.mktemp("trained"), tint_dataset(160), model=name, epochs=4)
    return load_student(fit(job, tint_model(name=name), None, Console(quiet=True)))


def test_fp32_artifacts_keep_every_logit_and_the_map(trained, tmp_path):
    test = tint_dataset(200, seed=9, name="test")
    outputs = predict_logits(trained.model, test, trained.card.preprocessing)
    bundle = export_bundle(
        trained,
        ["onnxruntime-cpu-fp32", "openvino-cpu-fp32"],
        tmp_path / "bundle",
        golden=[test.images[0]],
        reference=(test, outputs.logits),
    )
    report = verify(bundle, test)
    assert report.reference.stored
    assert report.images == 200
    for artifact in report.artifacts:
        assert artifact.ran, artifact.reason
        assert artifact.max_abs_logit <= 1e-3
        assert abs(artifact.drop.estimate) <= 0.05
        assert artifact.drop.high <= 0.05
        assert artifact.passed


def test_one_broken_photograph_does_not_cost_the_reference(trained, tmp_path):
    """The split keeps its identity: the broken image has no logits, and is named where it is left out."""
    test = tint_dataset(40, seed=9, name="test")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    test = replace(test, images=[*test.images[:7], broken, *test.images[8:]])
    outputs = predict_logits(trained.model, test, trained.card.preprocessing, max_bad_share=0.1)
    listed, logits = outputs.reference
    assert len(listed) == 40
    assert np.flatnonzero(np.isnan(logits).all(axis=1)).tolist() == [7]
    bundle = export_bundle(
        trained, ["onnxruntime-cpu-fp32"], tmp_path / "bundle", golden=[test.images[0]], reference=outputs.reference
    )
    report = verify(bundle, test, max_bad_share=0.1)
    assert report.reference.source == "the training framework, stored at export"
    assert report.images == 39
    assert [image.id for image in report.skipped] == [test.ids[7]]
