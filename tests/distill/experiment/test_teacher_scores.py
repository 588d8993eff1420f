"""A file of a teacher's scores, with those of the mirrored images, says what its network says of every flipped view."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jobs import write_recipe_on_photographs
from rich.console import Console

from edgedistill.distill.data.loader import Batch
from edgedistill.distill.engine.images import build_views
from edgedistill.distill.engine.world import ALONE
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("one_thread")
SCRIPT = Path(__file__).parents[3] / "benchmarks" / "teacher_scores.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory, tinted_photographs, one_thread):
    """A recipe whose teacher is trained, and the script's file of its scores beside it."""
    folder = tmp_path_factory.mktemp("scores")
    tinted_photographs(folder, size=(32, 32), noise=200, tint=50)
    write_recipe_on_photographs(folder)
    Experiment(load_recipe(folder / "recipe.yaml"), Console(quiet=True)).teacher()
    scores_of(folder, "scores.npz")
    return folder


def scores_of(folder, name, *options):
    spec = importlib.util.spec_from_file_location("teacher_scores", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["teacher_scores.py", str(folder / "recipe.yaml"), "-o", str(folder / name), *options]
        )
        module.main()
    return np.load(folder / name)


def opened(folder, *changes):
    """The student's training, its views, and its teacher as the training asks it."""
    loaded = load_recipe(folder / "recipe.yaml", assignments=changes)
    experiment = Experiment(loaded, Console(quiet=True))
    job, _, source, _ = experiment.training("student", experiment.teacher())
    views = build_views(job)
    return job, views, source.open(job, views, torch.device("cpu"), ALONE, Console(quiet=True))


FILE = "teacher={scores: scores.npz, scale: logits, accept: true}"


@pytest.mark.parametrize("settings", [(), ("train.views=2", "train.view_seed=3"), ("train.augment=[cutout, flip]",)])
def test_it_says_what_the_network_says_of_each_view(run, settings):
    """Under another seed than the file was written with; `cutout` before `flip` draws its numbers too."""
    job, views, file = opened(run, FILE, "seed=9", *settings)
    network = Experiment(load_recipe(run / "recipe.yaml"), Console(quiet=True)).teacher().model
    seen = set()
    for view in (0, 1):
        indices = torch.arange(len(job.train))
        pixels = torch.stack([torch.from_numpy(views.decoded[index]) for index in range(len(job.train))])
        mirrored = torch.tensor([views.is_mirrored(index, view) for index in range(len(job.train))])
        shown = torch.where(mirrored[:, None, None, None], pixels.flip(2), pixels)
        if "cutout" not in str(settings):
            assert torch.equal(shown, torch.stack([views.image(index, view) for index in range(len(job.train))]))
        said = file(Batch(shown, torch.zeros(0), indices, view, []), shown, torch.zeros(0)).logits
        with torch.no_grad():
            expected = network(network.normalize(shown)).logits
        torch.testing.assert_close(said, expected, rtol=1e-3, atol=1e-4)  # float16
        seen.add(tuple(mirrored.tolist()))
    assert len(seen) == 2, "the two views differ"
    plain = network(network.normalize(pixels)).logits
    assert (plain - network(network.normalize(pixels.flip(2))).logits).abs().max() > 0.004, (
        "the teacher tells them apart"
    )


def test_it_holds_the_training_and_the_validation_images_alone(run):
    with np.load(run / "scores.npz") as file:
        assert sorted(file["ids"]) == sorted(f"train{number}.jpg" for number in range(48))
        assert file["scores"].dtype == file["mirrored"].dtype == np.float16
        assert file["classes"].tolist() == ["blue", "red"]


def test_an_image_and_its_mirror_image_may_have_one_answer_and_be_shown_larger(run):
    with np.load(run / "scores.npz") as one, scores_of(run, "mean.npz", "--tta", "flip") as mean:
        np.testing.assert_array_equal(mean["scores"], mean["mirrored"])
        own, mirrored = (one[name].astype(float) for name in ("scores", "mirrored"))
        np.testing.assert_allclose(mean["scores"], (own + mirrored) / 2, rtol=2e-3, atol=2e-4)  # float16
    with scores_of(run, "larger.npz", "--size", "64") as larger:
        assert np.abs(larger["scores"].astype(float) - own).max() > 0.004


def test_every_seed_has_the_same_training_images_and_their_own_order(run):
    parts = [
        Experiment(load_recipe(run / "recipe.yaml", {"seed": seed}), Console(quiet=True)).splits for seed in (0, 1)
    ]
    assert parts[0].train.ids == parts[1].train.ids
    drawn = load_recipe(run / "recipe.yaml", {"seed": 1}, ["data.validation_seed=null"])
    assert Experiment(drawn, Console(quiet=True)).splits.train.ids != parts[0].train.ids


def test_a_step_that_draws_by_the_pixels_stands_after_flip(run):
    with pytest.raises(ConfigError, match="is not known after `rand_augment`: put it first"):
        opened(run, FILE, "train.augment=[rand_augment, flip]")
    opened(run, FILE, "train.augment=[flip, rand_augment]")


def test_a_seed_of_a_draw_that_is_not_made_is_refused(run):
    with pytest.raises(ConfigError, match="`data.validation_seed` would have no effect"):
        load_recipe(run / "recipe.yaml", assignments=["data.validation={format: csv, path: test.csv}"])


@pytest.mark.parametrize(
    ("mirrored", "message"),
    [
        (np.zeros((2, 3)), r"`mirrored` \(2, 3\) of type float64 must be numbers .* as `scores` \(2, 2\)"),
        (np.array([[0, np.nan], [0, 0]]), "scores of 1 of 2 images are NaN"),
    ],
)
def test_mirrored_scores_that_do_not_fit_are_told(run, mirrored, message):
    np.savez(run / "odd.npz", ids=np.array(["train0.jpg", "train1.jpg"]), scores=np.zeros((2, 2)), mirrored=mirrored)
    with pytest.raises(DataError, match=message):
        opened(run, "teacher={scores: odd.npz, scale: logits, accept: true}")
