"""Models by name, and checkpoints that describe themselves."""

import json
import math
import os
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from edgedistill.distill import build_model, load_student
from edgedistill.distill.checkpoint import ModelCard, save_student
from edgedistill.distill.models import ModelSpec
from edgedistill.distill.models.folded import FoldedClassifier
from edgedistill.distill.models.output import ModelOutput
from edgedistill.runtime.errors import CheckpointError, ConfigError
from edgedistill.runtime.preprocess import Preprocessing, normalize


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mobilenetv2", {"width": 0.35}),
        ("shufflenetv2", {"width": 0.5}),
        ("repvgg_a0", {}),
        ("torchvision/resnet18", {}),
        ("torchvision/regnet_y_400mf", {}),
        ("timm/mobilenetv3_small_050", {}),
        ("timm/vit_tiny_patch16_224", {}),
    ],
)
def test_every_family_gives_logits_and_maps(name, options):
    model = build_model(name, 5, **options).eval()
    size = 224 if "vit" in name else 64
    images = model.normalize(torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8))
    output = model(images)
    assert output.logits.shape == (2, 5)
    assert output.features is output.stages[-1]
    assert output.features.shape[1] == model.backbone.channels
    assert output.embeddings is None


@pytest.mark.parametrize("name", ["mobilenetv2", "shufflenetv2", "repvgg_a0", "torchvision/resnet18", "timm/resnet18"])
def test_a_small_stem_doubles_the_maps(name):
    images = torch.zeros(1, 3, 64, 64)
    standard, small = (build_model(name, 2, stem=stem).eval()(images).features for stem in ("standard", "small"))
    assert small.shape[2] == 2 * standard.shape[2]


def test_heads_and_branches():
    images = torch.randn(2, 3, 64, 64)
    decoder = build_model("shufflenetv2", 4, width=0.5, head="ml_decoder").eval()(images)
    assert decoder.embeddings.shape == (2, 4, 768)
    assert decoder.embedding_logits is decoder.logits
    model = build_model("shufflenetv2", 4, width=0.5, branches=["ml_decoder"]).eval()
    branch = model(images)
    assert branch.embedding_logits is not branch.logits
    model.detach_branches()
    assert model(images).embeddings is None
    assert torch.equal(model(images).logits, branch.logits)


@pytest.mark.parametrize("head", ["linear", "linear_max", "ml_decoder"])
def test_pooled_is_the_mean_of_the_last_map_whatever_the_head_pools(head):
    output = build_model("shufflenetv2", 4, width=0.5, head=head).eval()(torch.randn(2, 3, 96, 64))
    assert output.features.shape[2:] == (3, 2)
    torch.testing.assert_close(output.pooled, output.features.mean((2, 3)))


def test_an_average_head_pools_once():
    model = build_model("shufflenetv2", 4, width=0.5).eval()
    output = model(torch.randn(2, 3, 64, 64))
    assert torch.equal(model.head.linear(output.pooled), output.logits)
    read, _ = torch.autograd.grad(output.logits.sum(), [output.pooled, output.features])
    torch.testing.assert_close(read, model.head.linear.weight.sum(dim=0).expand(2, -1))


def test_outputs_may_hold_logits_alone():
    cached, other = ModelOutput(torch.zeros(2, 3)), ModelOutput(torch.zeros(2, 3))
    assert cached.features is cached.pooled is cached.embeddings is None
    assert cached.stages == []
    assert cached.stages is not other.stages


def test_normalization_is_the_runtimes():
    preprocessing = Preprocessing(size=(8, 8))
    images = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    ours = build_model("shufflenetv2", 2, width=0.5).normalize(images).numpy()
    assert ours == pytest.approx(normalize(images.numpy(), preprocessing), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mobilenet2", {}, "did you mean 'mobilenetv2'"),
        ("shufflenetv2", {"width": 0.7}, "no width 0.7; it comes in 0.5, 1.0, 1.5, 2.0"),
        ("timm/resnet19", {}, "unknown model timm/resnet19. Near: timm/resnet18"),
        ("hub/resnet18", {}, "the libraries are timm/ and torchvision/"),
        ("mobilenetv2", {"hed": "linear"}, "unknown key `hed`. Did you mean `head`"),
        ("torchvision/vgg11", {"stem": "small"}, "first convolution has stride 2; this one has none"),
    ],
)
def test_what_does_not_exist_is_named(name, options, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        build_model(name, 3, **options)


def test_pretrained_weights_come_from_a_local_file(tmp_path):
    from torchvision.models import shufflenet_v2_x0_5

    source = shufflenet_v2_x0_5()
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    torch.save({"state_dict": source.state_dict()}, tmp_path / "weights.pth")
    for file in ("weights.safetensors", "weights.pth"):
        model = build_model("shufflenetv2", 7, width=0.5, pretrained=str(tmp_path / file))
        assert torch.equal(model.backbone.stages[0][0].weight, source.conv1[0].weight)
    with pytest.raises(CheckpointError, match="has other shapes for .* weights of another model or width"):
        build_model("shufflenetv2", 7, width=1.0, pretrained=str(tmp_path / "weights.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        build_model("shufflenetv2", 7, width=0.5, pretrained=str(tmp_path / "bad.safetensors"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: {1: torch.zeros(3)}, "holds no plain state dict of tensors"),
        (lambda state: {**state, "fc.weight": state["fc.weight"].to_sparse()}, "holds no plain state dict of tensors"),
        (lambda state: {**state, "fc.bias": state["fc.bias"] * math.nan}, "fc.bias holds NaN or infinite values"),
        (lambda state: {key: value.to(torch.int8) for key, value in state.items()}, "has integers for conv1.0.weight"),
        (lambda state: torch.zeros(3), "holds no plain state dict of tensors"),
        (lambda state: {}, "lacks conv1.0.weight"),
        (lambda state: nn.Linear(2, 2), "is no file of plain tensors"),
    ],
)
@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
def test_files_of_another_kind_are_told(tmp_path, change, told):
    from torchvision.models import shufflenet_v2_x0_5

    torch.save(change(shufflenet_v2_x0_5().state_dict()), tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=told):
        build_model("shufflenetv2", 7, width=0.5, pretrained=str(tmp_path / "weights.pth"))


def test_a_pickle_is_never_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    torch.save({"weights": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(CheckpointError, match=r"bomb\.pth: is no file of plain tensors .* `model\.state_dict\(\)`"):
        build_model("shufflenetv2", 2, width=0.5, pretrained=str(tmp_path / "bomb.pth"))
    assert not (tmp_path / "exploded").exists()


def test_imagenet_mobilenetv2_from_a_file():
    path = os.environ.get("EDGEDISTILL_MOBILENETV2")
    if not path:
        pytest.skip("EDGEDISTILL_MOBILENETV2 does not name ImageNet MobileNetV2 weights")
    model = build_model("mobilenetv2", 80, pretrained=path).eval()
    assert model(torch.zeros(1, 3, 64, 64)).logits.shape == (1, 80)


CARD = ModelCard(
    edgedistill="0",
    name="test",
    model=ModelSpec(name="shufflenetv2", width=0.5),
    classes=("a", "b"),
    preprocessing=Preprocessing(size=(64, 64)),
    thresholds=(0.5, 0.4),
    metrics={"mAP": 12.0},
)


def test_a_checkpoint_needs_no_other_file(tmp_path):
    model = build_model("shufflenetv2", 2, width=0.5).eval()
    save_student(tmp_path / "student.safetensors", model, CARD)
    student = load_student(tmp_path / "student.safetensors")
    assert student.card == CARD
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(student.model(images).logits, model(images).logits)


def test_damaged_and_foreign_checkpoints_are_named(tmp_path):
    path = tmp_path / "student.safetensors"
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_student(path)
    model = build_model("shufflenetv2", 2, width=0.5)
    save_file(model.state_dict(), path)
    with pytest.raises(CheckpointError, match="bare weights without an edgedistill card"):
        load_student(path)
    save_file(model.state_dict(), path, metadata={"edgedistill": json.dumps({"name": "x"})})
    with pytest.raises(CheckpointError, match="its card cannot be read"):
        load_student(path)
    save_student(path, model, msgspec.structs.replace(CARD, model=ModelSpec(name="tiny_tints")))
    with pytest.raises(CheckpointError, match=r"unknown model 'tiny_tints'\. Known: .* module EDGEDISTILL_PLUGINS"):
        load_student(path)
    save_student(path, model, CARD)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged or not a safetensors file"):
        load_student(path)


@pytest.mark.parametrize("head", ["linear", "linear_max", "ml_decoder"])
def test_heads_and_branches_compute_in_float32_under_autocast(head):
    """A half-precision backbone is read as exactly as a whole one."""
    model = build_model("shufflenetv2", 4, width=0.5, head=head, branches=["ml_decoder", "calibration"]).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        said = model(torch.randn(2, 3, 64, 64))
    with torch.no_grad():
        features = said.features.float()
        _, logits = model.head(features)
    assert said.features.dtype == torch.bfloat16
    assert torch.equal(said.logits, logits)
    assert torch.allclose(said.pooled, features.mean((2, 3)), rtol=1e-6)
    for value in (said.embeddings, said.embedding_logits, said.calibration_logits):
        assert value.dtype == torch.float32


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit", "torchvision/squeezenet1_1"])
def test_a_librarys_own_classifier_does_too(name):
    model = build_model(name, 4, head="library").eval()
    size = model.backbone.model.default_cfg["input_size"][1] if name == "timm/test_vit" else 64
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        said = model(torch.randn(2, 3, size, size))
    assert said.logits.dtype == torch.float32
    if name != "timm/test_vit":  # whose classifier reads the class token, and no map
        with torch.no_grad():
            torch.testing.assert_close(said.logits, model.read_map(said.features.float()))


def test_a_student_in_int8_does_too():
    model = FoldedClassifier(build_model("cifar_resnet20", 4).eval()).round_to_int8().train()
    with torch.autocast("cpu", torch.bfloat16):
        said = model(torch.randn(8, 3, 32, 32))
    assert said.logits.dtype == torch.float32
    graph = model.backbone.graph
    exact = [name for name, module in graph.named_modules() if name.startswith("head") and hasattr(module, "weight")]
    assert exact == ["head.linear"]


def test_what_does_not_fit_a_checkpoints_network_is_named(tmp_path):
    path = tmp_path / "student.safetensors"
    save_student(path, build_model("shufflenetv2", 2, width=0.5), CARD)
    state = load_file(path)
    with safe_open(path, "pt") as file:
        card = file.metadata()
    state["head.linear.weight"] = torch.zeros(3, 1024)
    del state["head.linear.bias"]
    save_file(state | {"head.extra": torch.zeros(1)}, path, card)
    told = (
        r"lacks head\.linear\.bias; has other shapes for head\.linear\.weight \(\(3, 1024\) instead of .*; has unknown"
    )
    with pytest.raises(CheckpointError, match=told + r" head\.extra\.$"):
        load_student(path)
