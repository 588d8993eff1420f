"""`distil`: it is the training of a recipe, leaves the networks as they were, does nothing twice, and goes on."""

import contextlib

import numpy as np
import pytest
import torch
from jobs import CLASSES, tint_dataset, tint_job, tint_model, tint_teacher
from plain_training import QUIET, SMALL, Net, Pairs, teach
from rich.console import Console
from torch import nn

from edgedistill.distill import distil, load_student
from edgedistill.distill.api.datasets import as_dataset
from edgedistill.distill.engine import fit, trainer
from edgedistill.distill.models.plain import as_classifier
from edgedistill.distill.teacher_cache.source import CachedSource
from edgedistill.distill.teacher_cache.spec import dataset_digest
from edgedistill.runtime.errors import CheckpointError, InterruptedRunError


def test_a_store_of_a_teachers_outputs_asks_for_no_image_to_be_known(tmp_path):
    reads = []
    data = as_dataset(Pairs(form=lambda pixels: reads.append(0) or pixels), CLASSES, "train")
    reads.clear()
    dataset_digest(data, np.arange(48)[::-1], tmp_path / "digests.json", remember=True)
    assert not reads


def test_it_is_the_training_of_a_recipe(tmp_path):
    """The same network, data, teacher and settings as a job give the same weights."""
    settings = {"epochs": 2, "batch_size": 16, "lr": 3e-3, "augment": ["shift", "cutout"], "ema": 0.9}
    student = distil(
        tint_model(), tint_teacher(), tint_dataset(64), tint_dataset(32, seed=1, name="validation"),
        method="mld", input=32, folder=tmp_path / "api", seed=3, console=QUIET, accept_teacher=True, **settings,
    )  # fmt: skip
    expected = load_student(
        fit(tint_job(tmp_path / "job", method="mld"), tint_model(), CachedSource(tint_teacher()), QUIET)
    ).model.state_dict()
    found = student.model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert student.card.model.name == "timm/test_efficientnet"
    assert load_student(student.path).weights_sha256 == student.weights_sha256  # its name builds it


def test_a_plain_module_is_trained_in_place_and_loads_into_another(tmp_path):
    mine = Net()
    student = teach(tmp_path, mine)
    assert student.model.backbone.model is mine
    again = load_student(student.path, network=Net())
    assert again.weights_sha256 == student.weights_sha256
    with pytest.raises(CheckpointError, match=r"load_student\(path, network=...\)"):
        load_student(student.path)
    with pytest.raises(CheckpointError, match=r"do not fit the given Sequential: it lacks backbone\.model\.1\.weight"):
        load_student(student.path, network=nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)))


def test_the_same_call_does_nothing_twice_and_another_is_refused(tmp_path):
    first = teach(tmp_path)
    written = first.path.stat().st_mtime_ns
    assert teach(tmp_path).weights_sha256 == first.weights_sha256
    assert first.path.stat().st_mtime_ns == written
    with pytest.raises(CheckpointError, match="another"):
        teach(tmp_path, lr=1e-3)


@pytest.mark.parametrize("method", ["rkd", "pkt", "reviewkd"])
def test_maps_by_name_teach(tmp_path, method):
    student = teach(tmp_path, teacher=Net(), method=method, student_maps="body", teacher_maps="body")
    assert student.model.has_maps
    assert not [name for name in student.model.state_dict() if "review" in name]


def test_a_network_keeps_its_modes():
    network = Net().train()
    network.fc.eval()
    as_classifier(network, 3, SMALL)
    assert network.body.training
    assert not network.fc.training


def test_classes_are_weighed_as_in_a_recipe(tmp_path):
    plain, weighed = (teach(tmp_path / f"{w}", class_weights={"0": w}).weights_sha256 for w in (1.0, 5.0))
    assert plain != weighed


def test_networks_can_be_taught_on_and_teach_again(tmp_path):
    """Nothing of the call stays on them: not what it froze, and not which branches it had no use for."""
    teacher = tint_model(("ml_decoder", "calibration"))
    parts = {"backbone": {"freeze_epochs": "all"}}
    for method in ("l2d", "ud"):
        teach(tmp_path / method, teacher=teacher, student=tint_model(), method=method)
    student = teach(tmp_path / "frozen", teacher=teacher, student=tint_model(), parts=parts).model
    assert all(parameter.requires_grad for parameter in student.parameters())
    before = student.state_dict()["backbone.model.conv_stem.weight"].clone()
    teach(tmp_path / "on", student)
    assert not torch.equal(student.state_dict()["backbone.model.conv_stem.weight"], before)
    teach(tmp_path / "teacher", teacher)


def test_what_a_method_adds_begins_as_the_seed_has_it(tmp_path):
    found = []
    for state in (0, 1):
        student, teacher = tint_model(), tint_teacher()
        torch.manual_seed(state)
        options = {"method": "reviewkd", "epochs": 1, "batch_size": 16, "input": 32, "console": QUIET}
        options["accept_teacher"] = True
        found.append(distil(student, teacher, Pairs(), Pairs(24, 1), folder=tmp_path / f"{state}", **options))
    assert found[0].weights_sha256 == found[1].weights_sha256


def test_a_finished_training_says_so(tmp_path, capsys):
    teach(tmp_path)
    teach(tmp_path, console=Console())
    assert "is finished; its result is read from" in capsys.readouterr().out


class StopAfter:
    """Stands in for Ctrl-C: true from the n-th time it is asked."""

    def __init__(self, steps):
        self.left = steps

    def __bool__(self):
        self.left -= 1
        return self.left <= 0


def test_the_same_call_goes_on_where_it_was_interrupted_and_ends_with_the_same_bits(tmp_path, monkeypatch):
    """In the middle of the second epoch, beside a teacher whose outputs are stored since its views come again."""
    options = {"epochs": 2, "views": 1, "ema": 0.9}
    whole = teach(tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "catch_interrupt", lambda _: contextlib.nullcontext(StopAfter(6)))
        with pytest.raises(InterruptedRunError, match=r"stopped after step 5 of 6.* The same call continues"):
            teach(tmp_path / "parts", **options)
    (stored,) = (tmp_path / "parts" / "caches" / "teachers").iterdir()
    before = (stored / "logits.f16").stat().st_mtime_ns
    assert teach(tmp_path / "parts", **options).weights_sha256 == whole.weights_sha256
    assert (stored / "logits.f16").stat().st_mtime_ns == before, "nothing is asked of the teacher twice"
