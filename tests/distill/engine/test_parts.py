"""Rates, weight decay and freezing per part of a network."""

import json
from collections import Counter

import pytest
import timm
import torch
from jobs import tint_model
from rich.console import Console
from timm.optim import param_groups_layer_decay

from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.engine import TrainSettings, fit, predict_logits
from edgedistill.distill.engine.averaging import SwaSettings
from edgedistill.distill.engine.groups import Freezing, parameter_groups
from edgedistill.distill.engine.optimize import build_optimizer, build_schedule
from edgedistill.distill.engine.parts import Parts, PartSettings
from edgedistill.distill.methods import build_method
from edgedistill.distill.models import build_model
from edgedistill.distill.models.depth import layers_below_head
from edgedistill.distill.models.folded import FoldedClassifier
from edgedistill.runtime.errors import ConfigError, InterruptedRunError
from edgedistill.runtime.preprocess import Preprocessing

CPU, QUIET = torch.device("cpu"), Console(quiet=True)
PARTS = Parts(
    backbone=PartSettings(lr_scale=0.1, weight_decay=0.0), head=PartSettings(lr_scale=2.0), method=PartSettings()
)


def frozen(**epochs) -> Parts:
    return Parts(**{part: PartSettings(freeze_epochs=count) for part, count in epochs.items()})


def rates(model, settings):
    """The rate of each parameter by name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = build_optimizer(model, settings, CPU).param_groups
    return {names[id(one)]: (group["lr"], group["weight_decay"]) for group in groups for one in group["params"]}


@pytest.mark.parametrize("branches", [(), ("ml_decoder",)])
def test_what_a_method_adds_learns_at_its_papers_rate(branches):
    """L2D's decoder at 1e-4 by Adam, whatever the network's rate; where the recipe says a share, at that."""
    student = tint_model(branches)
    part = build_method("l2d").build_part(student, None, (32, 32))

    def rates(lr=0.01, **settings):
        groups = parameter_groups(student, part, TrainSettings(epochs=1, lr=lr, **settings))
        return {group.part: lr * group.lr_scale for group in groups}

    assert rates() == {"backbone": 0.01, "head": 0.01, "method": pytest.approx(1e-4)}
    assert rates(parts=Parts(method=PartSettings(lr_scale=1.0)))["method"] == 0.01
    assert rates(optimizer="sgd")["method"] == 0.01  # the paper's is Adam's
    assert set(rates(lr=1e-4).values()) == {1e-4}


def test_each_part_has_its_rate_and_decay(make_model):
    model = make_model(("calibration",))
    found = rates(model, TrainSettings(epochs=1, lr=1.0, weight_decay=0.5, parts=PARTS))
    assert found.keys() == {name for name, _ in model.named_parameters()}
    assert {part: rate for name, (rate, _) in found.items() for part in [name.partition(".")[0]]} == {
        "backbone": 0.1,
        "head": 2.0,
        "branches": 1.0,
    }
    assert {decay for name, (_, decay) in found.items() if name.startswith("backbone.")} == {0.0}
    assert found["head.linear.weight"][1] == 0.5
    assert found["head.linear.bias"][1] == 0.0


def test_what_a_method_adds_beside_the_student_is_its_part(make_model):
    groups = parameter_groups(make_model(), torch.nn.Linear(3, 4), TrainSettings(epochs=1, parts=PARTS))
    assert Counter(group.part for group in groups) == {"backbone": 2, "head": 2, "method": 2}
    assert sum(one.numel() for group in groups if group.part == "method" for one in group.parameters) == 16


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet", "test_resnet"])
def test_rates_fall_with_the_depth_as_timms_do(name):
    model, decay = build_model(f"timm/{name}", 3, head="library"), 0.7
    theirs = timm.create_model(name, num_classes=3)
    groups = param_groups_layer_decay(theirs, layer_decay=decay)
    scales = {id(one): group["lr_scale"] for group in groups for one in group["params"]}
    expected = {f"backbone.model.{key}": scales[id(value)] for key, value in theirs.named_parameters()}
    found = {key: rate for key, (rate, _) in rates(model, TrainSettings(epochs=1, lr=1.0, layer_decay=decay)).items()}
    assert found == pytest.approx(expected)
    # Without its classifier a network's layers are as far from the head.
    bare = layers_below_head(build_model(f"timm/{name}", 3).backbone)
    assert {key: decay**depth for key, depth in bare.items()} == pytest.approx(
        {key: expected[f"backbone.{key}"] for key in bare}
    )


def test_layers_of_other_networks_are_twelve_parameters_each():
    depths = list(layers_below_head(build_model("mobilenetv2", 3, width=0.25).backbone).values())
    assert depths == sorted(depths, reverse=True)
    assert set(Counter(depths[:-12]).values()) == {12}
    assert depths[-1] == 1


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("timm/test_efficientnet", "library"),
        ("timm/test_vit", "library"),
        ("torchvision/mobilenet_v3_small", "library"),
        ("torchvision/squeezenet1_1", "library"),
        ("mobilenetv2", "linear"),
    ],
)
def test_the_head_is_found_whatever_its_place_in_the_network(name, head):
    model = build_model(name, 3, head=head)
    groups = parameter_groups(model, None, TrainSettings(epochs=1))
    widths = {len(one) for group in groups if group.part == "head" for one in group.parameters if one.ndim <= 1}
    assert 3 in widths, "its last bias has one element for each class"
    assert all(len(one) != 3 for group in groups if group.part == "backbone" for one in group.parameters)


def test_a_network_in_int8_has_the_same_head(make_model):
    groups = parameter_groups(FoldedClassifier(make_model().eval()), None, TrainSettings(epochs=1))
    (weight,) = [group.parameters for group in groups if group.part == "head" and group.weight_decay]
    assert [len(one) for one in weight] == [3]


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_schedules_keep_the_share_of_a_part(make_model, schedule):
    settings = TrainSettings(epochs=1, lr=0.1, schedule=schedule, parts=PARTS, optimizer="sgd")
    optimizer = build_optimizer(make_model(), settings, CPU)
    scheduler = build_schedule(optimizer, settings, 10)
    peak = 0.0
    for _ in range(10):
        base = [group["lr"] / group["lr_scale"] for group in optimizer.param_groups]
        assert base == pytest.approx([base[0]] * len(base), rel=1e-2)
        peak = max(peak, *(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        scheduler.step()
    assert peak == pytest.approx(0.2, rel=0.03)


def test_what_is_frozen_computes_as_in_an_evaluation(make_model):
    model = make_model(("calibration",)).train()
    freezing = Freezing(model, None, frozen(backbone=1, method="all"))
    assert freezing.apply(0)
    assert not any(module.training for module in model.backbone.modules())
    assert model.head.training
    assert model.training
    assert [name for name, one in model.named_parameters() if one.requires_grad] == [
        "head.linear.weight",
        "head.linear.bias",
    ]
    model.train()
    assert freezing.apply(1)
    assert all(module.training for module in model.backbone.modules())
    assert not any(one.requires_grad for one in model.branches.parameters())
    assert not freezing.apply(2), "nothing changes any more"


def test_a_head_within_a_frozen_backbone_learns_on():
    model = build_model("timm/test_efficientnet", 3, head="library").train()
    Freezing(model, None, frozen(backbone="all")).apply(0)
    classifier = model.backbone.model.get_classifier()
    assert classifier.training
    assert [one.shape[0] for one in model.parameters() if one.requires_grad] == [3, 3]


def test_a_frozen_part_keeps_weights_and_statistics_until_its_epoch(make_job, make_model, one_thread):
    before = make_model().state_dict()

    def changed(epochs, **options):
        path = fit(make_job(f"run{epochs}", epochs=epochs, ema=None, **options), make_model(), None, QUIET)
        after = load_student(path).model.state_dict()
        return {name for name, value in after.items() if not torch.equal(value, before[name])}

    parts = frozen(backbone=1)
    assert changed(1, parts=parts) == {"head.linear.weight", "head.linear.bias"}
    assert changed(2, parts=parts, evaluate_every=2) == set(before)


def test_an_evaluation_leaves_what_is_frozen_as_it_is(make_model, tint_dataset):
    """Else the mean of the weights would be given new statistics of a frozen backbone."""
    model = make_model().train()
    Freezing(model, None, frozen(backbone="all")).apply(0)
    predict_logits(model, tint_dataset(2), Preprocessing(size=(32, 32)))
    assert model.training
    assert not any(module.training for module in model.backbone.modules())


def test_it_continues_exactly_over_the_thaw_with_its_averages(make_job, make_model, monkeypatch, one_thread):
    averages = {"swa": SwaSettings(start=0.0), "keep": "best"}
    options = {"epochs": 2, "parts": frozen(backbone=1), "layer_decay": 0.8, "evaluate_every": 2, **averages}
    whole = load_student(fit(make_job("whole", **options), make_model(), None, QUIET)).model.state_dict()
    for stop in (2, 6):  # of 8 steps
        job, left = make_job(f"parts{stop}", **options), [stop]

        def asked(self, interrupt, bad=(), *, left=left, job=job):
            left[0] -= 1
            if left[0] == 0:
                self._save()
                raise InterruptedRunError("stopped")

        with monkeypatch.context() as patch:
            patch.setattr("edgedistill.distill.engine.trainer._Training._stop_if", asked)
            with pytest.raises(InterruptedRunError):
                fit(job, make_model(), None, QUIET)
        found = load_student(fit(job, make_model(), None, QUIET)).model.state_dict()
        assert all(torch.equal(found[name], value) for name, value in whole.items())


def test_the_rate_that_is_told_is_the_trainings_own(make_job, make_model):
    job = make_job(epochs=1, parts=PARTS, schedule="constant", warmup=0.0)
    fit(job, make_model(), None, QUIET)
    assert json.loads((job.folder / "metrics.jsonl").read_text())["lr"] == pytest.approx(job.settings.lr)


def test_a_training_in_which_nothing_learns_is_refused(make_job, make_model):
    with pytest.raises(ConfigError, match="student: `parts` freezes all that it has at once"):
        fit(make_job(parts=frozen(backbone="all", head=1)), make_model(), None, QUIET)


def test_without_parts_a_training_is_the_one_that_it_was():
    assert not {"parts", "layer_decay"} & TrainSettings(epochs=1).deciding().keys()
    assert TrainSettings(epochs=1, layer_decay=0.8).deciding()["layer_decay"] == 0.8
