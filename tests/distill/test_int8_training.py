"""The student in int8: one graph that computes what the network does, rounded where runtimes round."""

import copy

import pytest
import tiny_network
import torch
import yaml
from rich.console import Console
from torch import nn

from edgedistill.distill import build_model, load_student
from edgedistill.distill.checkpoint import ModelCard, save_student
from edgedistill.distill.engine import trainer
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.models import Classifier, ModelSpec
from edgedistill.distill.models.folded import FoldedClassifier
from edgedistill.distill.models.rounding import ActivationRounding, RoundedConv2d, SameLevels
from edgedistill.distill.plan import plan
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError, InterruptedRunError
from edgedistill.runtime.preprocess import Preprocessing

pytestmark = pytest.mark.usefixtures("one_thread")


def trained(name: str, **options) -> nn.Module:
    """Statistics as after a training."""
    torch.manual_seed(0)
    model = build_model(name, 3, **options).train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, 64, 64))
    return model.eval()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mobilenetv2", {"width": 0.35}),
        ("shufflenetv2", {"width": 0.5}),
        ("cifar_resnet20", {"head": "ml_decoder"}),
        ("timm/mobilenetv3_small_050", {"branches": ["calibration"]}),
        ("timm/test_efficientnet", {}),  # a convolution behind its stages
        ("timm/resnet10t", {"head": "library"}),
    ],
)
def test_the_graph_computes_what_the_network_does_without_batchnorm(name, options):
    model, images = trained(name, **options), torch.randn(2, 3, 64, 64)
    folded = FoldedClassifier(model)
    assert not [m for m in folded.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    expected, found = model(images), folded(images)
    for field in ("logits", "pooled", "embeddings", "calibration_logits"):
        value = getattr(expected, field)
        assert (value is None) == (getattr(found, field) is None)
        if value is not None:
            scale = value.abs().max().item()
            torch.testing.assert_close(getattr(found, field), value, rtol=0.0, atol=1e-5 * scale)
    assert [stage.shape for stage in found.stages] == [stage.shape for stage in expected.stages]
    if "head" not in options:
        torch.testing.assert_close(folded.read_map(found.features), found.logits)


def test_where_is_rounded():
    """ReLU belongs to what is before it, moved values are not rounded twice, logits not at all."""

    class Small(nn.Module):
        channels = 4

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
            self.act, self.pool = nn.ReLU(), nn.MaxPool2d(2)

        def forward(self, images):
            maps = self.pool(self.act(self.first(images * 2)))
            return [torch.relu(self.second(maps) + maps)]

    folded = FoldedClassifier(Classifier(Small(), 2)).round_to_int8().train()
    rounded = {name: type(module) for name, module in folded.backbone.graph.named_children() if "int8_" in name}
    assert rounded == {
        "int8_mul": ActivationRounding,
        "int8_backbone_act": ActivationRounding,
        "int8_backbone_pool": SameLevels,
        "int8_backbone_second": ActivationRounding,
        "int8_relu": ActivationRounding,
        "int8_head_pool": ActivationRounding,
        "int8_flatten": SameLevels,
    }
    output = folded(torch.rand(4, 3, 9, 9))
    assert len(output.features.unique()) <= 256
    low, high = folded.int8_ranges["relu"]
    assert low == 0.0
    assert output.features.max().item() == pytest.approx(high, rel=1e-6)
    output.logits.square().sum().backward()
    assert [name for name, parameter in folded.named_parameters() if parameter.grad is None] == []


def test_levels_are_the_ones_of_onnx():
    rounding = ActivationRounding().train()
    values = torch.tensor([-1.0, 0.0, 0.3, 3.0], requires_grad=True)
    found = rounding(values)
    scale, zero_point = 4.0 / 255, round(255 / 4)
    expected = [scale * (min(max(round(v / scale) + zero_point, 0), 255) - zero_point) for v in (-1.0, 0.0, 0.3, 3.0)]
    torch.testing.assert_close(found.detach(), torch.tensor(expected))
    rounding.eval()(torch.tensor([5.0, -9.0]))
    assert (float(rounding.low), float(rounding.high)) == (-1.0, 3.0)
    rounding.train()(torch.tensor([7.0, -1.0]))
    assert float(rounding.high) == pytest.approx(3.0 + 0.05 * 4.0)
    outside = torch.tensor([100.0, 1.0], requires_grad=True)
    rounding.eval()(outside).sum().backward()
    assert outside.grad.tolist() == [0.0, 1.0], "a gradient passes rounding, not clipping"


def test_a_range_is_that_of_all_processes(monkeypatch):
    def with_another(ends, _):
        ends.copy_(torch.maximum(ends, torch.tensor([5.0, 1.0])))  # whose values go from -5 to 1

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", with_another)
    rounding = ActivationRounding().train()
    rounding(torch.tensor([-2.0, 3.0]))
    assert (rounding.low.item(), rounding.high.item()) == (-5.0, 3.0)


def test_weights_have_a_scale_for_each_output_channel():
    layer = nn.Conv2d(2, 3, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.27, 0.012], [0.0, 0.0], [-254.0, 1.1]]).view(3, 2, 1, 1))
        layer.bias.zero_()
    layer.__class__ = RoundedConv2d
    source = ActivationRounding()
    source.high.fill_(1.0)
    layer.source = (source,)
    images = torch.eye(2).view(2, 2, 1, 1)
    expected = torch.tensor([[1.27, 0.0, -254.0], [0.01, 0.0, 2.0]]).view(2, 3, 1, 1)
    torch.testing.assert_close(layer(images), expected)


RECIPE = {
    "name": "tiny",
    "data": {
        "train": {"format": "digit_scenes", "split": "train", "images": 48, "size": 32},
        "test": {"format": "digit_scenes", "split": "test", "images": 12, "size": 32},
        "validation": 0.25,
    },
    "input": {"size": 32},
    "teacher": {
        "accept": True,
        "model": {"name": tiny_network.NAME, "branches": ["ml_decoder"]},
        "train": {"epochs": 1, "batch_size": 16},
    },
    "student": {
        "model": {"name": tiny_network.NAME},
        "train": {"epochs": 1, "batch_size": 16, "lr": 0.001, "ema": 0.99, "workers": 0, "augment": []},
        "int8": {"train": {"epochs": 2}},
    },
    "method": "l2d",
}


@pytest.fixture
def open_recipe(tmp_path):
    def make(*changes: str, output: str = "runs") -> Experiment:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({**RECIPE, "output": str(tmp_path / output)}))
        return Experiment(load_recipe(path, assignments=changes), Console(quiet=True))

    return make


def test_a_recipe_trains_in_int8_at_the_end_resumes_and_saves_the_ranges(open_recipe, monkeypatch):
    experiment = open_recipe()
    teacher = experiment.teacher()
    student = experiment.student(teacher)
    assert student.path == experiment.checkpoint("student")
    floating = load_student(experiment.folder / "student" / "student.safetensors")
    assert student.card.int8_ranges
    assert floating.card.int8_ranges == {}
    assert isinstance(student.model, FoldedClassifier)
    assert student.model.int8_ranges == {}, "what is loaded computes in float"
    # The weights went on from the float student's, by the method that has a decoder of its own.
    before = FoldedClassifier(floating.model).state_dict()
    after = student.model.state_dict()
    assert before.keys() == after.keys()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert "backbone.graph.head.linear.weight" in moved
    assert all((before[name] - after[name]).abs().max() < 0.01 for name in moved)

    planned = {training.role: training.epochs_done for training in plan(experiment, "distill").trainings}
    assert planned == {"teacher": 1.0, "student": 1.0, "int8": 2.0}

    # Interrupted in its second epoch, it ends with the same bits.
    other = open_recipe(f"teacher={{checkpoint: {teacher.path}, accept: true}}", output="again")
    taught, honest, steps = other.teacher(), trainer._Training._stop_if, []

    def stop(training, *asked):
        steps.append(training.job.title)
        if steps.count("int8") == 5:
            training._save()
            raise InterruptedRunError("stopped")
        return honest(training, *asked)

    with monkeypatch.context() as patch:
        patch.setattr(trainer._Training, "_stop_if", stop)
        with pytest.raises(InterruptedRunError):
            other.student(taught)
    again = other.student(taught)
    assert again.weights_sha256 == student.weights_sha256
    assert again.card.int8_ranges == student.card.int8_ranges


def test_the_checkpoint_gives_the_same_rounded_network(tmp_path):
    model = FoldedClassifier(trained("shufflenetv2", width=0.5)).round_to_int8().train()
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        model(images)
    card = ModelCard(
        edgedistill="0",
        name="test",
        model=ModelSpec(name="shufflenetv2", width=0.5),
        classes=("a", "b", "c"),
        preprocessing=Preprocessing(size=(64, 64)),
        thresholds=(0.5,) * 3,
    )
    save_student(tmp_path / "student.safetensors", model.eval(), card)
    student = load_student(tmp_path / "student.safetensors")
    assert not torch.equal(student.model(images).logits, model(images).logits)
    again = student.model.round_to_int8(student.card.int8_ranges)
    assert torch.equal(again(images).logits, model(images).logits)
    assert torch.equal(copy.deepcopy(model)(images).logits, model(images).logits)
    with pytest.raises(ConfigError, match="ranges are those of another network: .* is in one of the two only"):
        FoldedClassifier(trained("cifar_resnet20")).round_to_int8(student.card.int8_ranges)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (("student.int8={train: {lr_max: 1}}",), r"unknown key `student\.int8\.train\.lr_max`"),
        (("student.int8={train: {accumulate: 3}}",), r"`student\.int8\.train`: batch_size 16 .* 3 equal pieces"),
        (
            ("method=ud", "teacher.model.branches=[calibration]"),
            "`student.int8`: the method's attention .* `method.beta",
        ),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_trained(open_recipe, changes, told):
    with pytest.raises(ConfigError, match=told):
        open_recipe(*changes)


def test_a_network_that_is_no_graph_is_told():
    class Decides(nn.Module):
        channels = 3

        def forward(self, images):
            return [images if images.mean() > 0 else -images]

    with pytest.raises(ConfigError, match="cannot be written as one graph of operations"):
        FoldedClassifier(Classifier(Decides(), 2))
