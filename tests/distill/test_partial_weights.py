"""Weights that fit a network in part: a detector's, a self-supervised trunk, a file with longer or shorter names."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import shufflenet_v2_x0_5

from edgedistill.distill import build_model
from edgedistill.distill.models import partial_weights
from edgedistill.runtime.errors import CheckpointError

LACKING = "lacking, and fresh: 5, of conv5.0 (1), conv5.1 (4)"


@pytest.fixture(scope="module")
def state():
    """Of a network with three classes."""
    torch.manual_seed(5)
    return shufflenet_v2_x0_5(num_classes=3).state_dict()


@pytest.fixture
def told(caplog):
    partial_weights._tell.cache_clear()
    return caplog


def trunk(state):
    return {key: value for key, value in state.items() if not key.startswith(("conv5.", "fc."))}


def built(path, **options):
    return build_model("shufflenetv2", 3, width=0.5, pretrained={"path": str(path), "partial": True, **options})


def loaded(model, state):
    stage = model.backbone.stages
    pairs = [(stage[0][0].weight, "conv1.0.weight"), (stage[3][0][3].branch2[5].weight, "stage4.3.branch2.5.weight")]
    return [torch.equal(value, state[key]) for value, key in pairs] == [True, True]


@pytest.mark.parametrize(
    ("written", "where"),
    [
        (trunk, "loaded;"),
        (lambda state: {f"module.{key}": value for key, value in trunk(state).items()}, "below `module.`"),
        (
            lambda state: {
                **{f"model.backbone.{key}": value for key, value in trunk(state).items()},
                "model.head.0.weight": torch.zeros(96, 48, 3, 3),
            },
            "below `model.backbone.`",
        ),
    ],
)
def test_what_fits_is_loaded_and_what_lacks_is_listed_once(state, tmp_path, told, written, where):
    save_file(written(state), tmp_path / "trunk.safetensors")
    for _ in range(2):
        assert loaded(built(tmp_path / "trunk.safetensors"), state)
    (message,) = told.messages
    assert "partial: 275 of 280 tensors (42.6 % of the weights)" in message
    assert where in message
    assert LACKING in message
    if "head" in str(written(state).keys()):
        assert "of the file unused: 1, of model.head.0 (1)" in message


def test_a_checkpoint_of_several_networks_is_searched_and_a_prefix_chooses(state, tmp_path, told):
    """As DINO's and MoCo's are: two encoders of equal shapes, an optimiser, a number."""
    other = {key: value + 1 if value.is_floating_point() else value for key, value in trunk(state).items()}
    saved = {
        "epoch": 3,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(24, 3, 3, 3)}}},
        "student": {f"encoder.{key}": value for key, value in trunk(state).items()},
        "teacher": {f"encoder.{key}": value for key, value in other.items()},
    }
    torch.save(saved, tmp_path / "ssl.pth")
    assert loaded(built(tmp_path / "ssl.pth"), state), "the first of equals"
    assert loaded(built(tmp_path / "ssl.pth", prefix="teacher.encoder."), other)
    assert "below `student.encoder.`" in told.messages[0]
    assert "below `teacher.encoder.`" in told.messages[1]


def test_a_file_of_a_part_of_the_network_fits_too(tmp_path, told):
    whole = build_model("timm/test_resnet", 3).backbone.model
    save_file(whole.layer1.state_dict(), tmp_path / "layer.safetensors")
    made = build_model(
        "timm/test_resnet", 3, pretrained={"path": str(tmp_path / "layer.safetensors"), "partial": True}
    ).backbone.model
    assert torch.equal(made.layer1[0].conv1.weight, whole.layer1[0].conv1.weight)
    assert "for `layer1.`" in told.text


def test_a_classifier_counts_only_where_nothing_below_it_is_fresh(state, tmp_path, told):
    save_file(state, tmp_path / "whole.safetensors")
    assert built(tmp_path / "whole.safetensors").head_is_pretrained
    del state["conv5.0.weight"]
    save_file(state, tmp_path / "lacking.safetensors")
    assert not built(tmp_path / "lacking.safetensors").head_is_pretrained


def test_a_file_of_which_nothing_fits_is_an_error(state, tmp_path):
    save_file(trunk(state), tmp_path / "trunk.safetensors")
    asked = {"path": str(tmp_path / "trunk.safetensors"), "partial": True}
    with pytest.raises(CheckpointError, match=r"none of its 330 tensors fits: it has .*weights of another network"):
        build_model("timm/test_vit", 3, pretrained=asked)


def test_a_file_that_must_fit_says_how_a_part_of_it_would(state, tmp_path):
    save_file(trunk(state), tmp_path / "trunk.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks conv5\.0\.weight.*partial: true"):
        built(tmp_path / "trunk.safetensors", partial=False)
