"""Networks in PyTorch that are no students of ours: a library's with somebody's weights, and any module."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from edgedistill.distill.models.library_inputs import own_preprocessing
from edgedistill.export import export_bundle, from_library, from_module
from edgedistill.export.probes import generated_images
from edgedistill.runtime.errors import CheckpointError, ConfigError
from edgedistill.runtime.preprocess import IMAGENET_MEAN, Preprocessing, normalize

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = ("cat", "dog", "tree")
SIZE = (64, 64)
IMAGES = generated_images(4, SIZE)


@pytest.fixture(scope="module")
def network():
    """timm's smallest, whose own weights want a mean and standard deviation of 0.5."""
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=len(CLASSES)).eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.save({"state_dict": {f"module.{key}": value for key, value in network.state_dict().items()}}, path)
    return path


def own_logits(network, preprocessing):
    with torch.no_grad():
        return network(torch.from_numpy(normalize(IMAGES, preprocessing))).numpy()


def test_a_library_network_says_what_it_says_in_its_library(network, weights):
    source = from_library("timm/test_resnet", weights, classes=CLASSES, size=SIZE)
    expected = Preprocessing(size=SIZE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert source.card.preprocessing == expected
    np.testing.assert_allclose(source.logits(IMAGES), own_logits(network, expected), atol=1e-5)
    assert (source.card.name, source.card.model, source.card.classes) == ("mine", "timm/test_resnet", CLASSES)
    assert "as timm has it" in source.reading
    said = from_library("timm/test_resnet", weights, classes=CLASSES, size=SIZE, mean=IMAGENET_MEAN)
    assert said.card.preprocessing.mean == IMAGENET_MEAN
    assert abs(said.logits(IMAGES) - source.logits(IMAGES)).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timm/test_resnet", Preprocessing(size=(160, 160), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))),
        ("timm/resnet10t", Preprocessing(size=(176, 176), interpolation="bicubic")),
        ("torchvision/inception_v3", Preprocessing(size=(299, 299))),
    ],
)
def test_the_library_says_which_images_its_networks_were_made_for(name, expected):
    assert own_preprocessing(name) == expected


@pytest.mark.parametrize(
    ("name", "classes", "message"),
    [
        ("timm/test_resnet", ("a", "b"), r"mine.pth: its fc.weight is \(3, 96\), and .* need \(2, 96\)"),
        ("timm/test_resnet", ("a", "a", "b"), "`classes` holds 'a' twice"),
        ("timm/resnet10t", CLASSES, "mine.pth: .*: these are weights of another model"),
        ("timm/test_resnett", CLASSES, "unknown model timm/test_resnett. Near: timm/test_resnet"),
        ("torchvision/resnet19", CLASSES, "unknown model torchvision/resnet19. Near: torchvision/resnet18"),
        ("mobilenetv2", CLASSES, "give timm/<name> or torchvision/<name>; a student is given by its file"),
    ],
)
def test_what_does_not_fit_a_library_network_is_one_line(weights, name, classes, message):
    with pytest.raises((CheckpointError, ConfigError), match=message):
        from_library(name, weights, classes=classes, size=SIZE)


def test_weights_without_a_classifier_are_refused(network, tmp_path):
    trunk = {key: value for key, value in network.state_dict().items() if not key.startswith("fc.")}
    torch.save(trunk, tmp_path / "trunk.pth")
    with pytest.raises(CheckpointError, match="trunk.pth: holds no fc.weight, a part of the network's classifier"):
        from_library("timm/test_resnet", tmp_path / "trunk.pth", classes=CLASSES, size=SIZE)
    with pytest.raises(CheckpointError, match="none.pth: no such weights file"):
        from_library("timm/test_resnet", tmp_path / "none.pth", classes=CLASSES, size=SIZE)


def test_a_size_that_the_network_does_not_take_is_one_line(tmp_path):
    torch.save(timm.create_model("vit_tiny_patch16_224", num_classes=3).state_dict(), tmp_path / "vit.pth")
    with pytest.raises(ConfigError, match="--size: timm/vit_.* takes no images of 64 x 64 pixels .* 224 x 224"):
        from_library("timm/vit_tiny_patch16_224", tmp_path / "vit.pth", classes=CLASSES, size=SIZE)


def test_any_module_is_exported_and_left_as_it_is(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    module.append(nn.Linear(8, 3))
    preprocessing = Preprocessing(size=SIZE, mean=(0.1, 0.2, 0.3))
    source = from_module(module, classes=CLASSES, preprocessing=preprocessing, name="mine", thresholds=(0.1, 0.2, 0.3))
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    np.testing.assert_allclose(source.logits(IMAGES), own_logits(module.eval(), preprocessing), atol=1e-5)
    manifest = export_bundle(source, ["onnxruntime-cpu-fp32"], tmp_path / "b").manifest
    assert [artifact.status for artifact in manifest.artifacts] == ["verified"]
    assert (manifest.name, manifest.provenance.model, manifest.thresholds) == ("mine", "Sequential", (0.1, 0.2, 0.3))
    assert manifest.provenance.framework.startswith("torch ")
    with pytest.raises(ConfigError, match="2 thresholds for 3 classes"):
        from_module(module, classes=CLASSES, preprocessing=preprocessing, thresholds=(0.5, 0.5))


def test_torchvision_weights_are_taken_too(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.get_model("squeezenet1_1", num_classes=3).eval()
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    source = from_library("torchvision/squeezenet1_1", tmp_path / "mine.pth", classes=CLASSES, size=SIZE)
    np.testing.assert_allclose(source.logits(IMAGES), own_logits(network, Preprocessing(size=SIZE)), atol=1e-5)
