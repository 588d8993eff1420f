"""Networks of timm and torchvision: every family builds, and a user's own one teaches as its library computes it."""

import warnings

import pytest
import timm
import torch
import torchvision
import yaml
from rich.console import Console
from safetensors.torch import save_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgedistill.distill import build_model
from edgedistill.distill.checkpoint import ModelCard, load_student, save_student
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.methods import build_method
from edgedistill.distill.methods.shown import require_maps
from edgedistill.distill.models import ModelSpec, libraries
from edgedistill.distill.models.whole import LibraryClassifier, LogitsAlone
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.preprocess import Preprocessing

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("name", "pixels", "channels"),
    [
        ("torchvision/mnasnet0_5", 64, 1280),
        ("torchvision/googlenet", 64, 1024),
        ("torchvision/inception_v3", 96, 2048),
        ("torchvision/maxvit_t", 224, 512),
        ("torchvision/vit_b_32", 224, 768),
        ("timm/efficientvit_b0", 64, 128),
        ("timm/coat_lite_tiny", 224, 320),
        ("timm/coat_tiny", 224, 152),
        ("timm/crossvit_tiny_240", 240, 192),
        ("timm/inception_next_atto", 64, 320),
        ("timm/efficientvim_m1", 224, 320),
        ("timm/hiera_tiny_224", 224, 768),
    ],
)
def test_networks_whose_library_has_them_in_its_own_way_give_maps(name, pixels, channels, shapes_alone):
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("error")
        model = build_model(name, 3).eval()
        output = model(torch.zeros(2, 3, pixels, pixels))
    assert output.logits.shape == (2, 3)
    assert output.features.shape[1] == model.backbone.channels == channels
    assert all(stage.ndim == 4 for stage in output.stages)


def test_the_vision_transformer_of_torchvision_normalises_its_last_map_alone():
    model = build_model("torchvision/vit_b_32", 3, head="library").eval()
    images = torch.randn(1, 3, 224, 224)
    maps, _ = model.backbone.with_logits(images)
    tokens = model.backbone.model.encoder(
        torch.cat([model.backbone.model.class_token, model.backbone.model._process_input(images)], dim=1)
    )
    torch.testing.assert_close(maps[-1], tokens[:, 1:].transpose(1, 2).reshape(1, 768, 7, 7))


# (name, side of an image) of networks whose classifier is one layer on pooled features, or more, or reads tokens.
OWN = [
    ("timm/mobilenetv3_small_050", 64),
    ("timm/convnext_atto", 64),
    ("timm/ghostnet_100", 64),
    ("timm/repvit_m0_9", 64),
    ("timm/levit_128s", 224),
    ("timm/efficientvit_m0", 224),
    ("timm/hgnetv2_b0", 64),
    ("timm/deit_tiny_distilled_patch16_224", 224),
    ("torchvision/squeezenet1_1", 64),
    ("torchvision/googlenet", 64),
]
# Whose maps and classifier lie where those of one above do, or which take seconds.
MORE = [
    ("timm/vit_tiny_patch16_224", 224),
    ("timm/tiny_vit_5m_224", 224),
    ("timm/crossvit_tiny_240", 240),
    ("timm/coat_lite_tiny", 224),
    ("torchvision/alexnet", 96),
    ("timm/resnet10t", 64),
    ("timm/efficientnet_lite0", 64),
    ("timm/shvit_s1", 64),
    ("timm/mobilenetv4_conv_small", 64),
    ("timm/efficientvit_b0", 64),
    ("timm/inception_next_atto", 64),
    ("timm/edgenext_xx_small", 64),
    ("timm/poolformer_s12", 64),
    ("torchvision/mobilenet_v3_small", 64),
    ("torchvision/mnasnet0_5", 64),
    ("torchvision/shufflenet_v2_x0_5", 64),
]
OWN += [pytest.param(*one, marks=pytest.mark.slow) for one in MORE]


def source(name: str, classes: int) -> nn.Module:
    """The library's network as after a training: no weight is left at zero."""
    library, _, name = name.partition("/")
    torch.manual_seed(0)
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    create = timm.create_model if library == "timm" else torchvision.models.get_model
    model = create(name, num_classes=classes, **options).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if isinstance(module, _BatchNorm):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.8, 1.2)
    return model


def adopted(name: str, classes: int, path: str) -> nn.Module:
    """As an experiment does."""
    model = build_model(name, classes, pretrained=path)
    return model if model.head_is_pretrained else build_model(name, classes, pretrained=path, head="library")


@pytest.mark.parametrize(("name", "pixels"), OWN)
def test_a_users_own_network_computes_what_its_library_computes(name, pixels, tmp_path):
    network = source(name, 7)
    path = str(tmp_path / "own.safetensors")
    save_file({key: value.clone() for key, value in network.state_dict().items()}, path)
    model = adopted(name, 7, path).eval()
    assert model.head_is_pretrained
    images = torch.randn(2, 3, pixels, pixels)
    with torch.no_grad():
        output, expected = model(images), network(images)
    assert expected.std() > 1e-3, "it says something"
    torch.testing.assert_close(output.logits, expected, rtol=1e-3, atol=1e-4)
    assert output.pooled.shape == (2, model.backbone.channels)
    if isinstance(model, LibraryClassifier):
        assert not build_model(name, 5, pretrained=path, head="library").head_is_pretrained, "other classes"


def test_a_network_whose_blocks_share_layers_is_saved(tmp_path):
    model = build_model("timm/coat_lite_tiny", 2).eval()
    spec = ModelSpec(name="timm/coat_lite_tiny")
    preprocessing = Preprocessing(size=(224, 224))
    card = ModelCard("0", "coat", spec, ("a", "b"), preprocessing, (0.5, 0.5))
    save_student(tmp_path / "student.safetensors", model, card)
    images = torch.randn(1, 3, 224, 224)
    found = load_student(tmp_path / "student.safetensors").model(images).logits
    torch.testing.assert_close(found, model(images).logits)


RECIPE = {
    "name": "own",
    "data": {
        "train": {"format": "digit_scenes", "split": "train", "images": 24, "size": 32},
        "test": {"format": "digit_scenes", "split": "test", "images": 12, "size": 32},
        "validation": 0.5,
    },
    "input": {"size": 32},
    "teacher": {"model": {"name": "timm/mobilenetv3_small_050"}},
    "student": {"model": {"name": "shufflenetv2", "width": 0.5}, "train": {"epochs": 1, "batch_size": 6, "workers": 0}},
    "method": "kd",
}


@pytest.fixture
def opened(tmp_path):
    """An experiment with `changes`, and the classes of its data."""

    def make(*changes: str) -> Experiment:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({**RECIPE, "output": str(tmp_path / "runs")}))
        return Experiment(load_recipe(path, assignments=changes), Console(quiet=True))

    return make


def own_file(tmp_path, classes: int) -> str:
    network = source("timm/mobilenetv3_small_050", classes)
    path = str(tmp_path / f"own{classes}.safetensors")
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return path


def test_a_network_with_a_classifier_of_several_layers_teaches_as_it_is_and_its_checkpoint_says_so(opened, tmp_path):
    path = own_file(tmp_path, 20)
    experiment = opened(f"teacher.model.pretrained={path}")
    teacher = experiment.teacher()
    assert teacher.card.model.head == "library"
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(teacher.model(images).logits, source("timm/mobilenetv3_small_050", 20)(images))
    assert experiment.student(teacher).card.metrics["mAP"] >= 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ((), "holds no classifier of timm/mobilenetv3_small_050 for the 20 classes of .* Add `teacher.train`"),
        (("teacher.model.head=ml_decoder",), "`teacher.model.head: ml_decoder` is not the classifier that .*"),
    ],
)
def test_what_cannot_teach_as_it_is_is_told_with_the_reason(opened, tmp_path, changes, told):
    with pytest.raises(ConfigError, match=told):
        opened(f"teacher.model.pretrained={own_file(tmp_path, 19)}", *changes).untrained_teacher()


def test_a_network_without_maps_teaches_by_its_logits_alone(monkeypatch):
    monkeypatch.setattr(libraries, "_reads_the_same", lambda network: False)
    model = build_model("timm/resnet10t", 3, head="library").eval()
    assert isinstance(model.backbone, LogitsAlone)
    output = model(torch.randn(2, 3, 32, 32))
    assert output.logits.shape == (2, 3)
    assert output.features is output.pooled is None
    assert model.gives == frozenset()
    require_maps(build_method("kd"), model, "the teacher")
    with pytest.raises(ConfigError, match="the teacher is taken as its library .* method RKD reads its pooled"):
        require_maps(build_method("rkd"), model, "the teacher")
    with pytest.raises(ConfigError, match="'calibration' reads feature maps, and the network shows none"):
        model.attach("calibration")


def test_the_library_head_is_for_library_networks():
    with pytest.raises(ConfigError, match="`head: library` is the own classifier of a timm/ or torchvision/ network"):
        build_model("mobilenetv2", 3, head="library")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("timm/vit_tiny_patch16_224", r"takes no images of 32 x 32 pixels \(.*\)\. It was made for 224 x 224"),
        ("torchvision/vit_b_32", r"takes no images of 32 x 32 pixels \(.*\)\. It was made for 224 x 224"),
        ("torchvision/inception_v3", r"takes no images of 32 x 32 pixels"),
    ],
)
def test_a_size_that_a_network_does_not_take_is_told_before_anything_is_computed(opened, name, told):
    experiment = opened("teacher=null", "method=vanilla", f"student.model.name={name}", "student.model.width=1.0")
    with pytest.raises(ConfigError, match=f"`input.size`: {name} {told}"):
        experiment.training("baseline", None)


@pytest.mark.parametrize("width", [float("nan"), float("inf"), 1e6, 0.0, -1.0])
def test_absurd_widths_are_refused(width):
    with pytest.raises(ConfigError, match="has no width .*; it comes in any width above 0, up to 16"):
        build_model("mobilenetv2", 3, width=width)


def test_weights_with_an_auxiliary_classifier_fit(tmp_path):
    """As torchvision's own files of GoogLeNet have it."""
    network = source("torchvision/googlenet", 7)
    extra = {"aux1.fc2.weight": torch.zeros(7, 1024), "aux2.fc2.bias": torch.zeros(7)}
    path = str(tmp_path / "w.safetensors")
    save_file({**network.state_dict(), **extra}, path)
    assert build_model("torchvision/googlenet", 7, pretrained=path).head_is_pretrained
