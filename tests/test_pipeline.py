"""The chain on image files with a broken one among them, and what makes it export again."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_network
import yaml
from rich.console import Console

from edgedistill.distill.experiment import Experiment
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.export_check import check_student_gives
from edgedistill.pipeline import Chain
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("one_thread", "children_here", "traced_once", "short_bench")


@pytest.fixture
def write(tmp_path, tinted_photographs):
    tinted_photographs(tmp_path, size=(40, 36), noise=80, tint=150)
    (tmp_path / "test3.jpg").write_bytes(b"broken")
    (tmp_path / "target.yaml").write_text("{backend: onnxruntime, precision: fp32, threads: 1}")

    def make(images, head="linear", int8=None, **export):
        model = {"name": tiny_network.NAME, "head": head}
        student = {"model": model, "train": {"epochs": 1, "batch_size": 8}, "int8": int8}
        recipe = {
            "output": str(tmp_path / "runs"),
            "data": {
                "train": {"format": "csv", "path": "train.csv"},
                "test": {"format": "csv", "path": "test.csv"},
                "validation": 0.25,
                "max_bad_share": 0.1,
            },
            "input": {"size": 32},
            "student": student,
            "export": {"targets": ["target.yaml"], "selftest_images": images, "bench": "demo", **export},
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return load_recipe(path)

    return make


def test_parity_stays_against_pytorch_when_a_test_image_is_broken_and_a_changed_export_is_made_again(write, tmp_path):
    first = Chain(write(2), Console(quiet=True)).run()
    assert first.parity.reference.stored
    assert first.parity.images == first.models[0].images == 11
    assert "test3.jpg" in first.models[0].skipped[0]
    manifest = tmp_path / "runs" / "recipe" / "bundle" / "manifest.json"
    made = manifest.stat().st_mtime_ns
    Chain(write(2), Console(quiet=True)).run()
    assert manifest.stat().st_mtime_ns == made
    Chain(write(3), Console(quiet=True)).run()
    assert manifest.stat().st_mtime_ns != made
    names = {path.name for path in (manifest.parent / "selftest").iterdir()}
    assert names == {"00.jpg", "01.jpg", "02.jpg", "turned.jpg"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"targets": []}, r"recipe.yaml: `export.targets`: no target to export for"),
        ({"targets": ["target.yaml", "target.yaml"]}, "`export.targets`: the target target is given twice"),
        ({"targets": ["bf16.yaml"]}, "`export.targets`: bf16: onnxruntime is not built in bf16"),
        ({"opset": 17}, "`export.opset`: opset 17: PyTorch writes 18 and newer"),
        ({"outputs": ["saliency", "saliency"]}, "`export.outputs`: the output saliency is given twice"),
        (
            {"outputs": ["saliency"], "head": "ml_decoder", "int8": {}},
            "`export.outputs`: the network's own classifier does not read its last feature map",
        ),
    ],
)
def test_what_cannot_be_exported_is_told_before_anything_is_trained(write, tmp_path, asked, message):
    (tmp_path / "bf16.yaml").write_text("{backend: onnxruntime, precision: bf16}")
    with pytest.raises(ConfigError, match=message):
        Chain(write(2, **asked), Console(quiet=True)).run()
    assert not (tmp_path / "runs").exists()


def test_a_student_that_gives_what_is_asked_for_passes(write):
    check_student_gives(Experiment(write(2, outputs=["saliency", "embedding"], int8={}), Console(quiet=True)))
    check_student_gives(Experiment(write(2, outputs=["saliency"], head="ml_decoder"), Console(quiet=True)))


def test_a_validation_split_without_labels_is_told_before_anything_is_trained(write, tmp_path):
    chain = Chain(write(2), Console(quiet=True))
    splits = chain.experiment.splits
    bare = dataclasses.replace(splits.validation, labels=np.zeros_like(splits.validation.labels))
    chain.experiment.splits = dataclasses.replace(splits, validation=bare)
    with pytest.raises(DataError, match="thresholds and a temperature need labels"):
        chain.run()
    assert not (tmp_path / "runs").exists()


def test_a_page_that_cannot_be_written_costs_no_run(make_tiny_bundle, tmp_path):
    bundle = open_bundle(make_tiny_bundle(tmp_path / "b"))
    said = []
    chain = SimpleNamespace(_say=said.append)
    assert Chain._report(chain, bundle) == str(bundle.root / "report.html")
    (bundle.root / "report.html").write_text("mine")
    assert Chain._report(chain, bundle) == ""
    assert "not written" in said[0]
