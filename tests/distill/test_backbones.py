"""Every registered backbone: its maps, its size, its weights files, its ONNX graph."""

import functools
import math
import re
from pathlib import Path

import cifar_reference
import onnxruntime
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.models.resnet import BasicBlock as TimmBlock
from timm.models.resnet import ResNet as TimmResNet
from timm.models.tresnet import TResNet
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vgg import make_layers

from edgedistill.distill import build_model
from edgedistill.distill.models import BACKBONES, Classifier, cifar_vgg, cifar_wrn
from edgedistill.distill.models.backbone import Backbone, group_by_resolution
from edgedistill.distill.models.cifar_resnet import CifarResNet
from edgedistill.distill.models.cifar_vgg import CifarVGG13
from edgedistill.distill.models.cifar_wrn import WideResNet
from edgedistill.distill.models.size import count_parameters, deployed_size
from edgedistill.distill.models.tresnet import PadToBlocks
from edgedistill.export import reparameterize
from edgedistill.export.conversions.onnx_fp32 import export_onnx
from edgedistill.export.graph import DeployGraph
from edgedistill.export.signature import input_spec
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread", "children_here")

PAPERS = (
    "mobilenetv2 shufflenetv2 repvgg_a0 repvgg_a2 resnet18 resnet34 resnet50 resnet101 wide_resnet50 wide_resnet101"
)
PAPERS += " swin_t swin_s vgg19_bn tresnet_l resnext50"
CIFAR = ["cifar_resnet20", "cifar_resnet56", "cifar_resnet32x4", "cifar_wrn16_2", "cifar_wrn40_1", "cifar_wrn40_2"]
CIFAR += ["cifar_vgg13"]
NAMES = [*PAPERS.split(), *CIFAR]


def strides(name: str, pixels: int) -> tuple[int, ...]:
    if name.startswith(("swin", "tresnet")):
        return 4, 8, 16, 32
    if name == "cifar_vgg13":
        return 1, 2, 4, 8, 16 if pixels >= 64 else 8
    if name.startswith("cifar"):
        return 1, 2, 4
    return (2, 8, 16, 32) if name == "shufflenetv2" else (2, 4, 8, 16, 32)


def test_every_network_of_the_papers_is_registered():
    assert set(NAMES) <= set(BACKBONES.names())


@pytest.mark.parametrize("name", NAMES)
def test_one_map_for_each_resolution_and_the_size_that_the_listing_promises(name, shapes_alone):
    """Shapes alone, without a value: the largest network costs nothing on the meta device."""
    with torch.device("meta"):
        model = build_model(name, 3)
        for training, size in ((True, (576, 448)), (False, (32, 45))):
            maps = model.train(training).backbone(torch.zeros(2, 3, *size))
            assert maps[-1].shape[1] == model.backbone.channels
            for found, stride in zip(maps, strides(name, min(size)), strict=True):
                for pixels, side in zip(size, found.shape[2:], strict=True):
                    assert side in (pixels // stride, math.ceil(pixels / stride))
        counted = deployed_size(model.backbone, (224, 224))
    promised = re.search(r"(\d+) MMAC at 224 px, ([\d.]+) M parameters$", BACKBONES.get(name).description)
    assert counted.macs / 1e6 == pytest.approx(float(promised[1]), rel=0.02)
    assert counted.parameters / 1e6 == pytest.approx(float(promised[2]), rel=0.02)


@pytest.mark.parametrize("name", ["resnet18", "resnext50", "swin_t", "tresnet_l", *CIFAR[::2]])
def test_a_step_of_training_reaches_every_parameter_through_every_map(name):
    """Also: no layer overwrites a map that a method still reads."""
    model = build_model(name, 3)
    output = model(torch.randn(2, 3, 33, 46))
    (output.logits.square().sum() + sum(stage.square().mean() for stage in output.stages)).backward()
    assert [key for key, value in model.named_parameters() if value.grad is None] == []
    assert model.eval()(torch.randn(1, 3, 32, 32)).logits.isfinite().all()


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        # The table of CRD's benchmark and of those after it, in millions, CIFAR-100.
        (lambda: CifarResNet(20, (16, 16, 32, 64)), 0.278),
        (lambda: CifarResNet(56, (16, 16, 32, 64)), 0.862),
        (lambda: CifarResNet(32, (32, 64, 128, 256)), 7.43),
        (lambda: WideResNet(16, 2), 0.703),
        (lambda: WideResNet(40, 1), 0.570),
        (lambda: WideResNet(40, 2), 2.255),
        (CifarVGG13, 9.46),
    ],
)
def test_cifar_networks_have_the_published_number_of_parameters(network, parameters):
    with torch.device("meta"):
        assert count_parameters(network()) / 1e6 == pytest.approx(parameters, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "network", "reference", "pixels"),
    [
        ("cifar_resnet20", lambda: CifarResNet(20, (16, 16, 32, 64)), (cifar_reference.resnet, 20), 32),
        ("cifar_wrn16_2", lambda: WideResNet(16, 2), (cifar_reference.wide_resnet, 16), 32),
        # As wide as its stem: its first block has no projection.
        ("cifar_wrn40_1", lambda: WideResNet(40, 1), (cifar_reference.wide_resnet, 40), 32),
        ("cifar_vgg13", CifarVGG13, (cifar_reference.vgg, 13), 32),
        ("cifar_vgg13", CifarVGG13, (cifar_reference.vgg, 13), 64),
    ],
)
def test_cifar_networks_compute_what_the_benchmark_publishes(name, network, reference, pixels, tmp_path, monkeypatch):
    """Every map and the logits, from a weights file whose tensors all take part."""
    monkeypatch.setattr(cifar_vgg, "_CHANNELS", (8, 12, 16, 20, 20))
    torch.manual_seed(0)
    network = network()
    for key, value in network.state_dict().items():
        if value.dim() == 1:  # biases and normalisations: as initialised, they would do nothing
            value.uniform_(*((0.5, 1.5) if key.endswith(("var", "weight")) else (-0.5, 0.5)))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    weights = {key: value.double() for key, value in network.state_dict().items()}
    images = torch.randn(1, 3, pixels, pixels, dtype=torch.float64)
    function, depth = reference
    maps, logits = function(weights, depth, images)
    assert [key for key in weights if not key.endswith("num_batches_tracked")] == []
    with torch.no_grad():
        output = build_model(name, 100, pretrained=str(tmp_path / "w.safetensors")).double().eval()(images)
        torch.testing.assert_close(network.double().eval()(images), logits)
    torch.testing.assert_close([*output.stages, output.logits], [*maps, logits])


def test_vgg13_pools_a_fourth_time_from_64_pixels_on():
    backbone = build_model("cifar_vgg13", 2).backbone.eval()
    assert [backbone(torch.zeros(1, 3, size, size))[-1].shape[2] for size in (32, 63, 64, 128)] == [4, 7, 4, 8]


def test_tresnet_sees_zeros_beyond_sizes_that_are_no_multiple_of_4():
    images = torch.randn(1, 3, 5, 8)
    padded = PadToBlocks()(images)
    assert torch.equal(padded[:, :, :5], images)
    assert padded.shape == (1, 3, 8, 8)
    assert not padded[:, :, 5:].any()
    assert PadToBlocks()(padded) is padded


@pytest.mark.parametrize("name", ["resnet18", "resnext50"])
def test_a_small_stem_doubles_the_maps(name):
    with torch.device("meta"):
        maps = [build_model(name, 2, stem=stem).backbone(torch.zeros(2, 3, 64, 64)) for stem in ("standard", "small")]
    assert [2 * m.shape[2] for m in maps[0]] == [m.shape[2] for m in maps[1]]


@pytest.mark.parametrize("name", ["resnet18", "shufflenetv2", "torchvision/resnet18"])
def test_an_unpooled_stem_has_a_small_ones_last_map(name):
    with torch.device("meta"):
        maps = {
            stem: build_model(name, 2, stem=stem).backbone(torch.zeros(2, 3, 64, 64))
            for stem in ("standard", "small", "unpooled")
        }
    assert maps["unpooled"][-1].shape == maps["small"][-1].shape
    assert 2 * maps["standard"][-1].shape[2] == maps["unpooled"][-1].shape[2]


def test_an_unpooled_stem_is_refused_where_nothing_is_pooled():
    with torch.device("meta"), pytest.raises(ConfigError, match="needs a network with a max pooling in its stem"):
        build_model("mobilenetv2", 2, stem="unpooled")


@pytest.mark.parametrize("name", ["swin_t", "tresnet_l", "vgg19_bn", *CIFAR[-2:]])
def test_a_small_stem_is_refused_where_no_stride_2_begins(name):
    with torch.device("meta"), pytest.raises(ConfigError, match="first convolution has stride 2; this one has none"):
        build_model(name, 2, stem="small")


@pytest.mark.parametrize("name", CIFAR[:1] + CIFAR[-2:])
def test_cifar_networks_have_no_imagenet_weights(name):
    with pytest.raises(ConfigError, match="the cifar_ networks have no ImageNet weights"):
        build_model(name, 2, pretrained="imagenet")


# As the registered ones, but of a few blocks and channels: what a library's constructor is replaced by.
SMALL = {
    "resnet18": functools.partial(ResNet, BasicBlock, [1, 1, 1, 1]),
    "resnext50": functools.partial(TimmResNet, TimmBlock, [1, 1, 1, 1]),
    "swin_t": functools.partial(SwinTransformer, [4, 4], 8, [2, 1], [1, 2], [7, 7]),
    "tresnet_l": functools.partial(TResNet, [1, 1, 1, 1], width_factor=0.25),
    "cifar_wrn16_2": functools.partial(WideResNet, 10, 2),
}


@pytest.fixture
def small(monkeypatch):
    """Lets a name build the family's small network; returns one with random weights and statistics."""

    def install(name: str, classes: int = 7) -> nn.Module:
        def create(*_args: object, **_options: object) -> nn.Module:
            return SMALL[name](num_classes=classes)

        monkeypatch.setattr(torchvision.models, "get_model", create)
        monkeypatch.setattr(timm, "create_model", create)
        monkeypatch.setattr(cifar_wrn, "WideResNet", create)
        torch.manual_seed(0)
        network = create()
        with torch.no_grad():
            for value in network.state_dict().values():
                if value.is_floating_point():
                    value.mul_(torch.empty_like(value).uniform_(0.8, 1.2)).add_(0.01)
        return network

    return install


@pytest.mark.parametrize("name", SMALL)
def test_a_weights_file_with_its_classifier_computes_what_the_library_computes(name, small, tmp_path):
    source = small(name).eval()
    save_file({key: value.contiguous() for key, value in source.state_dict().items()}, tmp_path / "w.safetensors")
    model = build_model(name, 7, pretrained=str(tmp_path / "w.safetensors")).eval()
    assert model.head_is_pretrained
    assert not build_model(name, 5, pretrained=str(tmp_path / "w.safetensors")).head_is_pretrained
    images = torch.randint(0, 256, (3, 40, 72, 3), dtype=torch.uint8)
    expected = source(model.normalize(images))
    torch.testing.assert_close(model(model.normalize(images)).logits, expected, rtol=1e-4, atol=1e-4)


# Attention in shifted windows and blocks of pixels are in no other exported graph.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin_t", "tresnet_l", "resnet18", "cifar_wrn16_2"])
def test_the_exported_graph_computes_the_same(name, small, tmp_path):
    save_file({key: value.contiguous() for key, value in small(name).state_dict().items()}, tmp_path / "w.safetensors")
    model = build_model(name, 7, pretrained=str(tmp_path / "w.safetensors")).eval()
    images = torch.randint(0, 256, (3, 40, 72, 3), dtype=torch.uint8)
    check_export(model, images, model(model.normalize(images)).logits, tmp_path / "model.onnx")


@pytest.mark.slow
def test_vgg_exports_too(tmp_path):
    torch.manual_seed(0)
    layers = make_layers([8, "M", 8, "M", 8, "M", 8, "M", 8, "M"], batch_norm=True)
    model = Classifier(Backbone(group_by_resolution(layers), 8), 7).eval()
    images = torch.randint(0, 256, (3, 40, 72, 3), dtype=torch.uint8)
    check_export(model, images, model(model.normalize(images)).logits, tmp_path / "model.onnx")


def check_export(model: Classifier, images: torch.Tensor, expected: torch.Tensor, path: Path) -> None:
    export_onnx(DeployGraph(reparameterize(model)), input_spec("uint8_nhwc", tuple(images.shape[1:3])), path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        (logits,) = session.run(["logits"], {"image": images[:count].numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), expected[:count], rtol=1e-4, atol=1e-4)


def test_layers_are_grouped_by_the_resolution_of_their_outputs():
    def conv(channels: int, stride: int = 1) -> nn.Module:
        return nn.Conv2d(channels, 4, 3, stride, padding=1)

    layers = [conv(3), nn.ReLU(), nn.MaxPool2d(2), conv(4), conv(4, 2), nn.BatchNorm2d(4), nn.MaxPool2d(2)]
    stages = group_by_resolution(layers)
    assert [len(stage) for stage in stages[:2]] == [4, 2]
    assert stages[2] is layers[-1]
    assert all(layer.training for layer in layers)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(nn.Sequential(*stages)(images), nn.Sequential(*layers)(images))


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("vgg11", (2, 4, 8, 16, 32)),
        ("mobilenet_v3_small", (2, 4, 8, 16, 32)),
        ("densenet121", (2, 4, 8, 16, 32)),
        ("swin_t", (4, 8, 16, 32)),
    ],
)
def test_torchvisions_networks_have_one_stage_for_each_resolution(name, strides, shapes_alone):
    with torch.device("meta"):
        maps = build_model(f"torchvision/{name}", 2).eval().backbone(torch.zeros(1, 3, 64, 128))
    assert [m.shape[2:] for m in maps] == [(64 // stride, 128 // stride) for stride in strides]
