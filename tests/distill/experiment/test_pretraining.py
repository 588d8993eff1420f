"""`pretrained: digits`: made once, the same for every seed and every process, and never by a dry run."""

import msgspec
import pytest
import torch
import yaml
from rich.console import Console

from edgedistill.distill.data.digit_scenes import CLASSES, generate
from edgedistill.distill.experiment import Experiment, pretraining
from edgedistill.distill.models import build_model
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")
NETWORK = {"name": "timm/test_efficientnet", "pretrained": "digits"}


@pytest.fixture
def open_(tmp_path, monkeypatch):
    """An experiment whose networks start from digits, learned in one epoch of few scenes."""
    settings = msgspec.structs.replace(pretraining.SETTINGS, epochs=1, batch_size=16, evaluate_every=1)
    monkeypatch.setattr(pretraining, "SETTINGS", settings)
    monkeypatch.setattr(pretraining, "_TRAIN", 32)
    monkeypatch.setattr(pretraining, "_VALIDATION", 40)
    scenes = {"format": "digit_scenes", "size": 32}
    content = {
        "name": "run",
        "output": str(tmp_path),
        "data": {
            "train": {**scenes, "split": "train", "images": 40},
            "test": {**scenes, "split": "test", "images": 20},
            "validation": 0.25,
        },
        "input": {"size": 32},
        "student": {"model": NETWORK, "train": {"epochs": 1, "batch_size": 8}},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))

    def make(*changes: str) -> Experiment:
        return Experiment(load_recipe(tmp_path / "recipe.yaml", assignments=changes), Console(quiet=True))

    return make


def weights(network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_it_is_trained_once_for_all_seeds_and_only_the_backbone_starts_from_it(open_, tmp_path, monkeypatch):
    first = weights(open_().training("student", None).model)
    (made,) = (tmp_path / "caches" / "pretrained").glob("*.safetensors")
    assert not made.with_suffix("").exists(), "what its training left is gone"
    monkeypatch.setattr(pretraining, "fit", None)
    again, other = (weights(open_(*changes).training("student", None).model) for changes in ((), ("seed=1",)))
    fresh = weights(open_("student.model.pretrained=null").training("student", None).model)
    assert all(torch.equal(first[name], again[name]) for name in first), "whether it was made now or before"
    for name, value in first.items():
        if name.startswith("backbone."):
            assert torch.equal(value, other[name])
    assert torch.equal(first["head.linear.weight"], fresh["head.linear.weight"])
    assert not torch.equal(first["head.linear.weight"], other["head.linear.weight"])
    convolution = next(name for name in first if name.endswith("conv_stem.weight"))
    assert not torch.equal(first[convolution], fresh[convolution])


def test_made_again_it_is_the_same_and_another_network_has_its_own(open_, tmp_path):
    first = weights(open_().training("student", None).model)
    folder = tmp_path / "caches" / "pretrained"
    (made,) = folder.glob("*.safetensors")
    made.unlink()
    again = weights(open_().training("student", None).model)
    assert all(torch.equal(first[name], again[name]) for name in first)
    open_("student.model.name=timm/test_resnet").training("student", None)
    assert len(list(folder.glob("*.safetensors"))) == 2


def test_a_dry_run_makes_nothing_and_an_edition_is_another_training(open_, tmp_path, command, monkeypatch):
    code, _, err = command("distill", tmp_path / "recipe.yaml", "--dry-run") if open_() else (1, "", "")
    assert code == 0, err
    assert not (tmp_path / "caches" / "pretrained").exists()
    identity = open_().training("student", None).job.identity
    monkeypatch.setattr("edgedistill.distill.experiment.jobs.EDITION", 2)
    assert open_().training("student", None).job.identity != identity


def test_where_it_has_no_meaning_is_told(open_):
    with pytest.raises(ConfigError, match="`pretrained: digits` is trained where a recipe's networks are"):
        build_model("mobilenetv2", 3, pretrained="digits")
    with pytest.raises(ConfigError, match="`pretrained: digits` is for a backbone below a head of ours"):
        open_("student.model.head=library")
    with pytest.raises(ConfigError, match="`teacher` needs `train`, or `model.pretrained` with weights that teach"):
        open_("method=mld", "teacher={model: {name: mobilenetv2, pretrained: digits}}")


def test_single_digits_are_one_label_each_all_equally_often():
    scenes = generate("train", 1000, size=32, labels="one")
    assert (scenes.labels.sum(axis=1) == 1).all()
    assert scenes.labels.shape == (1000, len(CLASSES))
    assert 25 < scenes.labels.sum(axis=0).min() <= scenes.labels.sum(axis=0).max() < 80
    assert (scenes.images != generate("train", 1000, size=32).images).any()
