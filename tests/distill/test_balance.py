"""Class weights and the balanced sampler: closed forms, exact resumption, refusals."""

import math

import numpy as np
import pytest
import torch
from test_data import views_of
from test_mixing import RECIPE

from edgedistill.distill.data.balance import balanced_shares, class_weights
from edgedistill.distill.data.loader import EpochSampler, Share
from edgedistill.distill.losses import asymmetric, bce, distribution_balanced
from edgedistill.distill.methods import build_method
from edgedistill.distill.methods.class_weights import count_classes, weigh_classes
from edgedistill.distill.methods.supervised import SUPERVISED
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import ConfigError

LABELS = np.array([[1, 1, 0], [1, 0, -1], [1, 0, 0], [1, 0, 0], [0, 0, 0]], np.int8)
DATA = Dataset("d", ("a", "b", "c"), tuple("vwxyz"), ["v"] * 5, LABELS)


def test_the_distribution_balanced_loss_knows_the_training_parts_labels():
    """Of a method that learns by it, its decoder's too; a method by another loss, or by none, stays as it is."""
    method = count_classes(build_method("mld", supervised={"name": "distribution_balanced", "kappa": 0.5}), LABELS)
    logits, targets = torch.randn(4, 3), torch.randint(-1, 2, (4, 3))
    expected = distribution_balanced(logits, targets, torch.tensor([4, 1, 0]), torch.tensor([1, 4, 4]), kappa=0.5)
    assert torch.equal(method.supervised(logits, targets, "batchmean"), expected)
    assert method.supervised.name == "distribution_balanced"
    for other in (build_method("mld"), build_method("ud")):
        assert count_classes(other, LABELS) is other


def test_weights_follow_from_the_present_labels():
    raw = np.array([5 / 4, 5 / 1, 4 / 1])  # class c is never present, and unknown once
    np.testing.assert_allclose(class_weights("inverse_frequency", DATA, where="t"), raw / raw.mean())
    raw = np.array([1 / sum(0.999**k for k in range(n)) for n in (4, 1, 1)])
    np.testing.assert_allclose(class_weights("effective_number", DATA, where="t"), raw / raw.mean())
    assert class_weights({"b": 3}, DATA, where="t") == (1.0, 3.0, 1.0)
    with pytest.raises(ConfigError, match=r"t: d has no class 'zebra'; it has a, b, c\."):
        class_weights({"zebra": 3}, DATA, where="t")
    for useless in ({"b": math.inf}, dict.fromkeys(DATA.classes, 0.0)):
        with pytest.raises(ConfigError, match="needs finite weights, and one class above 0"):
            class_weights(useless, DATA, where="t")


@pytest.mark.parametrize(("name", "function"), [("bce", bce), ("asl", asymmetric)])
def test_a_weighted_loss_weighs_the_columns(name, function):
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 3), torch.from_numpy(LABELS)
    method = weigh_classes(build_method("vanilla", supervised=name), (0.5, 2.0, 1.0))
    (term,) = method.supervised_terms(
        type("Output", (), {"logits": logits, "embedding_logits": None, "calibration_logits": None})(), targets
    ).items()
    expected = (function(logits, targets, reduction="none") * torch.tensor([0.5, 2.0, 1.0])).sum() / 5
    assert term[0] == name
    torch.testing.assert_close(term[1].value, expected)
    soft = targets.float()
    torch.testing.assert_close(method.supervised(logits, soft, "sum"), expected * 5)
    even = weigh_classes(build_method("vanilla", supervised=name), (1.0, 1.0, 1.0)).supervised
    torch.testing.assert_close(even(logits, targets, "sum"), SUPERVISED[name](logits, targets, "sum"))


def test_every_class_is_drawn_equally_often_and_no_label_is_one_more():
    shares = balanced_shares(LABELS)
    quarter = 1 / 4  # of a's four images each; b has one, c none, and one image has no label
    np.testing.assert_allclose(shares, np.array([quarter + 1, quarter, quarter, quarter, 1]) / 3)


def test_a_balanced_epoch_is_shared_and_resumed_like_any_other(tint_dataset):
    data = tint_dataset(40)
    views = views_of(data)
    whole = EpochSampler(views, 8, 3, balance=data.labels)
    steps = list(whole)
    assert len({index for step in steps for _, index in step}) < 40, "drawn, not shuffled"
    halves = [list(EpochSampler(views, 8, 3, Share(rank, 2, 1), data.labels)) for rank in (0, 1)]
    assert [first + second for first, second in zip(*halves, strict=True)] == steps
    whole.start = 3
    assert list(whole) == steps[3:]
    whole.epoch, whole.start = 1, 0
    assert list(whole) != steps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train.class_weights=effective_number", "train.sampler=balanced"), None),
        (("train.class_weights=inverse",), "inverse"),
        (("method={name: mld, supervised: softmax}", "train.mix=null"), r"class_weights`: the loss 'softmax' ranks"),
        (("method={name: ud, alpha: 0, beta: 0}", "train.mix=null"), "has no supervised loss: name one"),
    ],
)
def test_what_cannot_be_weighted_says_so_first(tmp_path, arguments, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    if message is None:
        load_recipe(path, assignments=arguments)
        return
    with pytest.raises(ConfigError, match=message):
        load_recipe(path, assignments=("train.class_weights=inverse_frequency", *arguments))
