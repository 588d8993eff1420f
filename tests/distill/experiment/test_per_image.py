"""`teacher.per_image`: a teacher that is asked once about each whole image, larger and in several views."""

import json

import numpy as np
import pytest
import torch
import yaml
from jobs import write_recipe_on_photographs
from msgspec.structs import replace
from rich.console import Console

from edgedistill.distill.checkpoint import save_student
from edgedistill.distill.data.decoded import DecodedImages
from edgedistill.distill.data.loader import Batch
from edgedistill.distill.engine import predict_logits
from edgedistill.distill.engine.images import build_views
from edgedistill.distill.engine.world import ALONE
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.models import Classifier, ModelSpec, build_model
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.distill.study import load_study
from edgedistill.distill.study.identity import identity_of_student, identity_of_teacher
from edgedistill.runtime import metrics
from edgedistill.runtime.errors import ConfigError, DataError
from edgedistill.runtime.preprocess import load_reduced

pytestmark = pytest.mark.usefixtures("one_thread")

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tinted_photographs, one_thread):
    """A recipe whose teacher is trained; the photographs hold more than the student's 32 pixels show."""
    folder = tmp_path_factory.mktemp("per_image")
    tinted_photographs(folder, size=(96, 96), noise=200, tint=50)
    write_recipe_on_photographs(folder)
    opened(folder).teacher()
    return folder


def opened(folder, *changes, console=QUIET):
    return Experiment(load_recipe(folder / "recipe.yaml", assignments=changes), console)


def by_checkpoint(folder, per_image):
    """The change to a recipe by which the trained teacher teaches another, asked as told."""
    path = folder / "runs" / "recipe" / "teacher" / "teacher.safetensors"
    return f"teacher={{checkpoint: {path}, accept: true, per_image: {per_image}}}"


def heard(experiment, view):
    """Logits that a step hears of all training images, and which of them it shows mirrored."""
    job, _, source, _ = experiment.training("student", experiment.teacher())
    views = build_views(job)
    indices = torch.arange(len(job.train))
    shown = torch.stack([views.image(index, view) for index in range(len(job.train))])
    asked = source.open(job, views, torch.device("cpu"), ALONE, QUIET)
    logits = asked(Batch(shown, torch.zeros(0), indices, view, []), shown, torch.zeros(0)).logits
    return logits, torch.tensor([views.is_mirrored(index, view) for index in range(len(job.train))])


@torch.no_grad()
def said_of_whole_images(experiment, size):
    """What its network says of the images decoded at `size`, and of the same mirrored."""
    teacher = experiment.teacher()
    how = {"size": (size, size), "resize": "squash", "interpolation": "bilinear"}
    shown = replace(teacher.card.preprocessing, **how)
    pixels = torch.stack([torch.tensor(load_reduced(path, shown)) for path in experiment.splits.train.images])
    return [teacher.model(teacher.model.normalize(one)).logits for one in (pixels, pixels.flip(2))]


def test_a_step_hears_what_was_said_of_the_whole_image_or_of_its_mirror_image(folder):
    experiment = opened(folder, "teacher.per_image={size: 64}")
    plain, mirrored = said_of_whole_images(experiment, 64)
    assert (plain - mirrored).abs().max() > 0.001, "the teacher tells them apart"
    at_its_own, _ = said_of_whole_images(experiment, 32)
    assert (plain - at_its_own).abs().max() > 0.001, "and the sizes"
    for view in (0, 1):
        logits, flipped = heard(experiment, view)
        assert 0 < flipped.sum() < len(flipped)
        expected = torch.where(flipped[:, None], mirrored, plain)
        torch.testing.assert_close(logits, expected, rtol=2**-10, atol=1e-4)


def test_with_flip_among_its_views_both_have_the_mean(folder):
    experiment = opened(folder, "teacher.per_image={tta: [flip]}")
    expected = torch.stack(said_of_whole_images(experiment, 32)).mean(0)
    logits, flipped = heard(experiment, 1)
    assert flipped.any()
    torch.testing.assert_close(logits, expected, rtol=2**-10, atol=1e-4)


def test_other_steps_of_augment_change_nothing_of_it(folder):
    plain, _ = said_of_whole_images(opened(folder), 64)
    cut = "student.train.augment=[cutout]"
    experiment = opened(folder, by_checkpoint(folder, "{size: 64}"), cut)
    job, _, source, _ = experiment.training("student", experiment.teacher())
    views = build_views(job)
    asked = source.open(job, views, torch.device("cpu"), ALONE, QUIET)
    logits = asked(Batch(torch.zeros(0), torch.zeros(0), torch.arange(5), 3, []), torch.zeros(0), torch.zeros(0)).logits
    torch.testing.assert_close(logits, plain[:5], rtol=2**-10, atol=1e-4)


def test_it_is_asked_once_and_read_after_that(folder, monkeypatch):
    change = by_checkpoint(folder, "{size: 80, tta: [crops, flip]}")
    first, _ = heard(opened(folder, change), 0)
    forward = Classifier.forward

    def of_one(network, images):
        assert len(images) == 1, "the network was asked again"
        return forward(network, images)

    monkeypatch.setattr(Classifier, "forward", of_one)  # whether it takes the size is found by one
    again, _ = heard(opened(folder, change, "student.train.lr=0.01"), 0)
    torch.testing.assert_close(again, first, rtol=0, atol=0)


def test_it_is_judged_as_it_is_asked(folder):
    experiment = opened(folder, "teacher.per_image={size: 64, tta: [flip]}")
    experiment.teacher()
    found = json.loads((folder / "runs" / "recipe" / "teacher" / "quality.json").read_text())
    teacher, validation = opened(folder).teacher(), experiment.splits.validation
    shown = replace(teacher.card.preprocessing, size=(64, 64))
    outputs = predict_logits(teacher.model, validation, shown, tta=["flip"])
    assert found["mAP"] == pytest.approx(metrics.evaluate(outputs.scores, validation.labels)["mAP"], abs=1e-6)
    as_it_is = predict_logits(teacher.model, validation, teacher.card.preprocessing)
    assert np.abs(as_it_is.logits - outputs.logits).max() > 0.001


def test_a_whole_run_teaches_and_the_plan_tells(folder, command):
    recipe, changes = str(folder / "recipe.yaml"), ("teacher.per_image={size: 64}", "name=whole")
    code, out, err = command("distill", recipe, *changes, "--dry-run")
    assert code == 0, err
    told = " ".join(out.split())
    assert "the teacher is asked once about each whole image of 64x64" in told
    assert "`flip` has that of the mirror image" in told
    assert not (folder / "runs" / "whole").exists()
    for step in ("train", "distill"):
        code, _, err = command(step, recipe, *changes)
        assert code == 0, err

    def kept(*more):
        code, out, err = command("distill", recipe, *changes, *more, "--dry-run", "--json")
        assert code == 0, err
        return [one for one in json.loads(out)["kept"] if one["what"].startswith("teacher's outputs")]

    teacher = by_checkpoint(folder, "{size: 64}").replace("runs/recipe", "runs/whole")
    (there,) = kept(teacher, "name=again")
    assert there["present_bytes"] == there["bytes"] == 2 * 36 * 2 * 2  # views, images, classes, bytes
    (asked,) = kept(teacher, "name=again", "teacher.per_image.size=80")
    assert asked["present_bytes"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["method=reviewkd"], "of a teacher that is asked per image scores are all that is known"),
        (["teacher={scores: x.csv, scale: logits, per_image: {}}"], "`teacher.per_image` has no effect on scores"),
        (["teacher={onnx: x.onnx, scale: logits, per_image: {size: 64}}"], "set that instead"),
        (["teacher.cache=true"], "what `teacher.per_image` asks is always stored"),
        (["teacher.per_image.size=8"], "`teacher.per_image.size`: 8 x 8 is too small"),
        (["student.train.mix={name: mixup}"], "which `teacher.per_image` does not know"),
        (["teacher.per_image.views=2"], "views"),
        (["teacher.per_image.tta=[turn]"], "turn"),
    ],
)
def test_what_cannot_be_is_told(folder, changes, message):
    with pytest.raises(ConfigError, match=message):
        opened(folder, "teacher.per_image={size: 64}", *changes)


def test_a_size_that_the_network_does_not_take_is_told_before_it_is_trained(folder):
    network = "teacher.model={name: torchvision/inception_v3}"
    experiment = opened(folder, "teacher.per_image={size: 48}", network, "input.size=96", "name=inception")
    with pytest.raises(ConfigError, match=r"`teacher.per_image.size`: .*inception_v3 takes no images of 48 x 48"):
        experiment.training("teacher", None)


def test_a_given_teacher_is_told_the_same_before_it_is_judged(folder):
    """Of other classes than the data's, too."""
    torch.manual_seed(0)
    spec = ModelSpec(name="torchvision/inception_v3")
    network = build_model(spec.name, 2)
    card = replace(opened(folder).teacher().card, model=spec, classes=("a", "b"))
    save_student(folder / "inception.safetensors", network, card)
    checkpoint = f"checkpoint: {folder / 'inception.safetensors'}"
    mapped = f"teacher={{{checkpoint}, accept: true, class_map: {{red: a, blue: b}}, per_image: {{size: 48}}}}"
    with pytest.raises(ConfigError, match=r"`teacher.per_image.size`: .*takes no images of 48 x 48"):
        opened(folder, mapped, "name=mapped").teacher()


def test_what_draws_by_the_pixels_stands_after_flip(folder):
    change = "student.train.augment=[rand_augment, flip]"
    with pytest.raises(ConfigError, match=r"`student.train.augment`: .*not known after `rand_augment`: put it first"):
        opened(folder, "teacher.per_image={size: 64}", change)
    opened(folder, "teacher.per_image={size: 64, tta: [flip]}", change)
    opened(folder, "teacher.per_image={size: 64}", "student.train.augment=[flip, rand_augment]")


def test_of_an_image_that_could_not_be_decoded_it_says_nothing(folder, monkeypatch):
    """Its stored row is zeros, which would be taught as a half."""
    monkeypatch.setattr(DecodedImages, "__getitem__", failing_for("train7.jpg", DecodedImages.__getitem__))
    experiment = opened(folder, by_checkpoint(folder, "{size: 72}"), "data.max_bad_share=0.1")
    job, _, source, _ = experiment.training("student", experiment.teacher())
    place = job.train.ids.index("train7.jpg")
    asked = source.open(job, build_views(job), torch.device("cpu"), ALONE, QUIET)
    targets = torch.from_numpy(job.train.labels)
    heard = asked(Batch(torch.zeros(0), targets, torch.arange(len(job.train)), 0, []), torch.zeros(0), targets).targets
    assert (heard[place] == -1).all()
    assert torch.equal(heard.ne(targets).any(1).nonzero().ravel(), torch.tensor([place]))


def failing_for(name, decode):
    def read(images, index):
        if images.preprocessing.size == (72, 72) and images.dataset.ids[index] == name:
            raise DataError(f"{name}: cannot be decoded")
        return decode(images, index)

    return read


def test_a_study_asks_as_the_recipe_says(folder):
    content = {"recipe": "recipe.yaml", "set": {"teacher.per_image": {"size": 64}}, "students": {"small": None}}
    content |= {"methods": {"mld": None}, "seeds": [0]}
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    cells = [cell for cell in load_study(folder / "study.yaml").cells if cell.teacher is not None]
    assert [cell.runnable().recipe.teacher.per_image.size for cell in cells] == [64]


def test_how_it_is_asked_makes_another_student_of_the_same_teacher(folder):
    def identities(*changes):
        loaded = load_recipe(folder / "recipe.yaml", assignments=changes)
        return identity_of_teacher(loaded.recipe), identity_of_student(loaded.recipe, loaded.method())

    (teacher, student), (same, other) = identities(), identities("teacher.per_image={size: 64}")
    assert teacher == same
    assert student != other
    asked, teacher = ("{}", "{size: 64}", "{tta: [flip]}"), opened(folder).teacher()
    changes = [[], *([f"teacher.per_image={one}"] for one in asked)]
    assert len({opened(folder, *one).training("student", teacher).job.identity for one in changes}) == 4
