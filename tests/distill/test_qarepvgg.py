"""QARepVGG's block: where it normalises, and that its one convolution computes the same."""

import pytest
import torch
from timm.models.byobnet import RepVggBlock
from torch import nn

from edgedistill.distill import build_model, load_student
from edgedistill.distill.checkpoint import ModelCard, save_student
from edgedistill.distill.models import ModelSpec
from edgedistill.distill.models.qarepvgg import QARepVGGBlock
from edgedistill.distill.models.reparameterize import reparameterize
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.preprocess import Preprocessing


def shaken(module: nn.Module) -> nn.Module:
    """With statistics and scales as after a training."""
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -0.3, 0.3)
        nn.init.uniform_(norm.running_var, 0.6, 1.6)
        nn.init.uniform_(norm.weight, 0.6, 1.4)
        nn.init.uniform_(norm.bias, -0.3, 0.3)
    return module


def block(**options) -> QARepVGGBlock:
    torch.manual_seed(0)
    return QARepVGGBlock(RepVggBlock(8, **{"out_chs": 8, **options}))


@pytest.mark.parametrize(
    ("options", "identity"), [({}, True), ({"group_size": 2}, True), ({"stride": 2}, False), ({"out_chs": 12}, False)]
)
def test_one_convolution_computes_the_same(options, identity):
    trained = shaken(block(**options)).double().eval()
    assert trained.has_identity == identity
    maps = torch.randn(2, 8, 7, 9, dtype=torch.float64)
    fused = trained.fuse()
    assert [type(module) for module in fused.modules() if not list(module.children())] == [
        nn.Conv2d,
        nn.Identity,
        nn.ReLU,
    ]
    torch.testing.assert_close(fused(maps), trained(maps), rtol=0.0, atol=1e-10)


def test_the_sum_is_normalised_and_of_its_branches_the_3x3_alone():
    trained = block().train()
    assert {name for name, m in trained.named_modules() if isinstance(m, nn.BatchNorm2d)} == {"conv_kxk.bn", "bn"}
    trained.act = nn.Identity()
    total = trained(torch.randn(64, 8, 6, 6) * 5 + 3)
    torch.testing.assert_close(total.mean((0, 2, 3)), torch.zeros(8), rtol=0.0, atol=1e-5)
    torch.testing.assert_close(total.std((0, 2, 3)), torch.ones(8), rtol=0.0, atol=1e-3)


def test_a_network_of_them_is_built_saved_loaded_and_fused(tmp_path):
    torch.manual_seed(0)
    model = shaken(build_model("repvgg_a0", 2, block="qa", stem="small")).eval()
    assert sum(isinstance(module, QARepVGGBlock) for module in model.modules()) == 22
    spec = ModelSpec(name="repvgg_a0", block="qa", stem="small")
    preprocessing = Preprocessing(size=(32, 32))
    card = ModelCard(
        edgedistill="0", name="qa", model=spec, classes=("a", "b"), preprocessing=preprocessing, thresholds=(0.5, 0.5)
    )
    save_student(tmp_path / "student.safetensors", model, card)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    loaded = load_student(tmp_path / "student.safetensors").model.double()
    deployed = reparameterize(loaded)
    kinds = [type(module) for module in deployed.modules()]
    assert kinds.count(nn.Conv2d) == 22
    assert nn.BatchNorm2d not in kinds
    expected = loaded(images)
    scale = expected.features.abs().max().item()
    torch.testing.assert_close(deployed(images).features, expected.features, rtol=0.0, atol=1e-10 * scale)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("mobilenetv2", {}, r"networks of RepVGG blocks \(repvgg_a0, repvgg_a2\); mobilenetv2 has none"),
        ("torchvision/resnet18", {}, "networks of RepVGG blocks; this one has none"),
        ("repvgg_a0", {"pretrained": "imagenet"}, "begins with fresh weights: `pretrained` holds those of standard"),
    ],
)
def test_what_cannot_have_them_is_told(name, options, told):
    with pytest.raises(ConfigError, match=told):
        build_model(name, 2, block="qa", **options)


def test_the_default_leaves_a_trainings_identity_as_it_was():
    assert "block" not in ModelSpec(name="repvgg_a0").deciding()
    assert ModelSpec(name="repvgg_a0", block="qa").deciding()["block"] == "qa"
