"""mixup and CutMix: what is mixed follows from seed, image and view; every loss takes shares of labels exactly."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console
from test_data import views_of

from edgedistill.distill.data.loader import TrainingImages
from edgedistill.distill.data.mixing import CutMix, MixUp, mix_labels
from edgedistill.distill.engine import fit
from edgedistill.distill.engine.images import build_views
from edgedistill.distill.losses import bce
from edgedistill.distill.methods.supervised import SUPERVISED
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.distill.teacher_cache.source import CachedSource
from edgedistill.runtime.errors import ConfigError

QUIET = Console(file=io.StringIO())
RECIPE = """
name: mixed
data:
  train: {format: digit_scenes, split: train, images: 24, size: 32}
  test: {format: digit_scenes, split: test, images: 8, size: 32}
input: {size: 32}
teacher: {model: {name: timm/test_efficientnet}, train: {epochs: 1}}
student: {model: {name: timm/test_efficientnet}, train: {epochs: 1, mix: {name: mixup}}}
method: mld
"""


@pytest.mark.parametrize("mix", [MixUp(alpha=1.0), CutMix()])
def test_pixels_and_labels_are_mixed_in_the_same_shares(mix):
    black, white = torch.zeros(40, 30, 3, dtype=torch.uint8), torch.full((40, 30, 3), 200, dtype=torch.uint8)
    draws = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        mixed, share = mix.images(black, white, draws)
        assert mixed.dtype == torch.uint8
        assert float(mixed.float().mean()) / 200 == pytest.approx(1 - share, abs=0.003)
        shares.append(share)
    assert 0.45 < np.mean(shares) < 0.75  # a rectangle that is clipped at the border hides less
    assert (black == 0).all()
    assert (white == 200).all()


def test_unknown_stays_unknown_where_an_image_is_seen_at_all():
    first, second = torch.tensor([1, 0, -1, 1, -1], dtype=torch.int8), torch.tensor([0, 0, 1, -1, -1], dtype=torch.int8)
    assert mix_labels(first, second, 0.75).tolist() == [0.75, 0.0, -1.0, -1.0, -1.0]
    assert mix_labels(first, second, 1.0).tolist() == first.tolist()
    assert mix_labels(first, second, 0.0).tolist() == second.tolist()


def test_a_mixed_sample_is_replayed_whatever_came_before_and_has_another_partner_in_every_view(tint_dataset):
    data = tint_dataset(12)
    images = TrainingImages(data, views_of(data, []), MixUp(alpha=1.0))
    image, labels, index, view, bad = images[(4, 2)]
    images[(0, 0)]
    torch.rand(3)
    again = images[(4, 2)]
    assert torch.equal(again[0], image)
    assert torch.equal(again[1], labels)
    assert (index, view, bad, labels.dtype) == (2, 4, [], torch.float32)
    assert len({tuple(images[(view, 2)][1].tolist()) for view in range(8)}) > 2
    rarely = TrainingImages(data, views_of(data, []), MixUp(probability=1e-9))
    assert torch.equal(rarely[(4, 2)][0], torch.from_numpy(data.images[2]))


@pytest.mark.parametrize("name", [name for name, loss in SUPERVISED.items() if loss.by_label])
@pytest.mark.parametrize("reduction", ["batchmean", "sum"])
def test_a_loss_of_mixed_labels_is_that_of_both_in_their_shares(name, reduction):
    torch.manual_seed(0)
    loss, logits = SUPERVISED[name], torch.randn(5, 4, dtype=torch.float64)
    soft = torch.rand(5, 4, dtype=torch.float64)
    unknown = torch.rand(5, 4) < 0.2
    soft[unknown] = -1
    expected = torch.zeros((), dtype=torch.float64)
    for row, column in (~unknown).nonzero().tolist():
        for label, share in ((1, soft[row, column]), (0, 1 - soft[row, column])):
            one = loss(logits[row : row + 1, column : column + 1], torch.tensor([[label]], dtype=torch.int8), "sum")
            expected += share * one
    torch.testing.assert_close(loss(logits, soft, reduction), expected / (5 if reduction == "batchmean" else 1))
    hard = torch.randint(-1, 2, (5, 4), dtype=torch.int8)
    torch.testing.assert_close(loss(logits, hard.double(), reduction), loss(logits, hard, reduction))
    if name == "bce":
        torch.testing.assert_close(loss(logits, soft, reduction), bce(logits, soft, reduction))


def test_a_mixed_training_is_the_same_in_pieces(make_job, make_model, tint_dataset):
    found = []
    for accumulate in (1, 2):
        job = make_job(
            f"run{accumulate}", tint_dataset(16), mix=MixUp(alpha=1.0), epochs=1, accumulate=accumulate, ema=None
        )
        model = make_model()
        for module in model.modules():  # whose statistics are those of a piece
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.0
        model.train = lambda mode=True, model=model: torch.nn.Module.train(model, False)
        fit(job, model, None, QUIET)
        found.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-3)


def test_a_teacher_is_asked_about_the_mixed_image(make_job, make_model, tint_dataset):
    job = make_job(train=tint_dataset(16), method="mld", mix=CutMix(), epochs=1, views=1)
    assert CachedSource(make_model(seed=1)).stored_views(job, build_views(job)) == 0
    asked, seen, teacher, student = [], [], make_model(seed=1), make_model()
    teacher.register_forward_pre_hook(lambda _, arguments: asked.append(arguments[0]))
    student.register_forward_pre_hook(lambda module, given: seen.append(given[0]) if module.training else None)
    fit(job, student, CachedSource(teacher), QUIET)
    assert len(asked) == len(seen) == 1
    assert torch.equal(asked[0], seen[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), None),
        (("teacher.train.mix={name: cutmix, probability: 0.5}",), None),
        (("method={name: mld, supervised: pal}",), r"`student\.train\.mix`: the loss 'pal' ranks an image's labels"),
        (("method=l2d", "teacher.model.branches=[ml_decoder]"), "compares images by the labels"),
        (("method=ps",), r"`student\.train\.mix`: the method compares present labels with absent ones"),
        (("teacher.cache=true",), "are not stored: remove `cache: true`"),
        (("train.mix={name: mixup, alpha: 0}",), "mix.alpha"),
        (("train.mix={name: blend}",), "blend"),
    ],
)
def test_what_cannot_learn_from_mixed_images_says_so_first(tmp_path, arguments, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    if message is None:
        load_recipe(path, assignments=arguments)
        return
    with pytest.raises(ConfigError, match=message) as told:
        load_recipe(path, assignments=arguments)
    assert "\n" not in str(told.value)
