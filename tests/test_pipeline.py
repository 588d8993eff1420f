"""The chain on image files with a broken one among them, and what makes it export again."""

import pytest
import yaml
from rich.console import Console

from edgedistill.distill.recipe import load_recipe
from edgedistill.pipeline import Chain

pytestmark = pytest.mark.usefixtures("one_thread", "traced_once")


@pytest.fixture
def write(tmp_path, tinted_photographs):
    tinted_photographs(tmp_path, size=(40, 36), noise=80, tint=150)
    (tmp_path / "test3.jpg").write_bytes(b"broken")
    (tmp_path / "target.yaml").write_text("{backend: onnxruntime, precision: fp32, threads: 1}")

    def make(images):
        student = {"model": {"name": "timm/test_efficientnet"}, "train": {"epochs": 1, "batch_size": 8}}
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
            "export": {"targets": ["target.yaml"], "selftest_images": images, "bench": "demo"},
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
