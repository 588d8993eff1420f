"""`data.unlabelled` and `data.unknown`: what a teacher says of images, or labels, that nobody annotated."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from jobs import tint_dataset, tint_job, tint_model, tint_teacher
from PIL import Image
from rich.console import Console

from edgedistill.distill.data.loader import Batch
from edgedistill.distill.engine import LiveSource, fit
from edgedistill.distill.engine.teachers import HeardTeacher
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.methods import METHODS, TrainingContext, build_method
from edgedistill.distill.models.output import ModelOutput
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("one_thread")

LABELS = torch.tensor([[1, 0, -1], [-1, -1, -1], [-1, -1, -1], [0, 1, 1]], dtype=torch.int8)
LOGITS = torch.tensor([[2.0, -1.0, 3.0], [-2.0, 0.5, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, -1.0]])
BATCH = Batch(torch.zeros(4, 2, 2, 3), LABELS, torch.tensor([7, 4, 5, 1]), 0, [5])  # the third is blank


def heard(distils, silent=None):
    teacher = HeardTeacher(lambda *_: ModelOutput(LOGITS), distils, silent)
    return teacher(BATCH, BATCH.images, LABELS).targets.tolist()


def test_a_teacher_decides_where_nothing_is_known_and_is_not_heard_where_it_is_silent():
    assert heard(distils=True) == [[1, 0, 1], [0, 1, 1], [-1, -1, -1], [0, 1, 1]]
    assert heard(distils=False, silent=torch.tensor([False, True, False])) == [
        [1, -1, -1], [-1, -1, -1], [-1, -1, -1], [0, -1, 1]
    ]  # fmt: skip
    by_image = torch.zeros(8, 3, dtype=torch.bool)
    by_image[4] = True
    assert heard(distils=True, silent=by_image) == [[1, 0, 1], [-1, -1, -1], [-1, -1, -1], [0, 1, 1]]


HEARING = {"kd", "mse", "ps", "mld", "l2d", "mdkd", "ud", "cpsd"}


@pytest.mark.parametrize("name", METHODS.names())
def test_supervised_terms_take_what_is_annotated_and_the_teachers_what_it_says(name):
    """The terms of a batch whose teacher hears otherwise: theirs are those of its targets, the others do not change."""
    method = build_method(name)
    generator = torch.Generator().manual_seed(0)

    def output():
        def draw(*shape):
            return torch.randn(4, *shape, generator=generator)

        maps = draw(4, 2, 2)
        return ModelOutput(
            draw(3), features=maps, stages=[maps, maps], pooled=draw(4), embeddings=draw(3, 5),
            calibration_logits=draw(3), attention=draw(2, 2), partition_logits=draw(2, 3),
            reviewed=[draw(4, 1, 1), draw(4, 2, 2), draw(4, 2, 2)],
        )  # fmt: skip

    student, teacher, context = output(), output(), TrainingContext(0, 0, 1)
    says = torch.tensor([[1, 0, 1], [0, 1, 1], [0, 1, 0], [0, 1, 1]], dtype=torch.int8)
    annotated, told = method(student, teacher, LABELS, context), method(student, teacher, says, context)
    both = method(student, replace(teacher, targets=says), LABELS, context)

    def values(terms):
        return {key: getattr(term, "value", term) for key, term in terms.items()}

    annotated, told, both = map(values, (annotated, told, both))
    changed = {key for key in both if not torch.equal(both[key], annotated[key])}
    supervised = {key for key in both if key.startswith(("bce", "decoder_", "calibration_pal", "cd", "asl"))}
    supervised |= {"id"} & both.keys()  # l2d's, of labels that are annotated as present
    assert changed.isdisjoint(supervised)
    assert all(torch.equal(both[key], told[key]) for key in changed)
    assert bool(changed) == (name in HEARING)


@pytest.fixture
def unlabelled_job(tmp_path):
    """Half of the images have no label; `unknown` says who speaks of them."""

    def make(unknown):
        data = tint_dataset(32)
        data.labels[::2] = -1
        job = tint_job(tmp_path / unknown, data, method="mld", epochs=1, ema=None)
        return replace(job, unknown=unknown)

    return make


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        ("ignore", "terms against labels and teacher are 0 there (`data.unknown: distil` lets the teacher speak)"),
        ("distil", "which the teacher alone teaches; of a step's 16 images about 8 have labels"),
    ],
)
def test_a_training_tells_what_images_without_labels_mean(unlabelled_job, unknown, words):
    told = io.StringIO()
    fit(unlabelled_job(unknown), tint_model(), LiveSource(tint_teacher()), Console(file=told, width=300))
    assert f"student: no label is known of 16 of 32 training images{': ' if unknown == 'ignore' else ', '}" in (
        text := told.getvalue()
    )
    assert words in text


def write_images(folder, count, seed):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)).save(folder / f"{number}.png")


@pytest.fixture
def recipe(tmp_path):
    """24 photographs with labels, and a folder that holds them and 16 more."""
    write_images(tmp_path / "photos", 24, 0)
    write_images(tmp_path / "photos" / "more", 16, 1)
    write_images(tmp_path / "test", 8, 2)
    for split, count in (("photos", 24), ("test", 8)):
        rows = [f"{number}.png,{number % 2},{int(number % 3 == 0)}" for number in range(count)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["path,ant,bee", *rows]))
    network = {"name": "timm/test_efficientnet"}
    content = {
        "name": "few",
        "output": str(tmp_path / "runs"),
        "data": {
            "train": {"format": "csv", "path": "photos.csv", "images": "photos"},
            "test": {"format": "csv", "path": "test.csv", "images": "test"},
            "validation": 0.25,
            "unlabelled": {"format": "folder", "path": "photos"},
        },
        "input": {"size": 32},
        "teacher": {"model": network, "train": {"epochs": 1, "batch_size": 6}, "accept": True},
        "student": {"model": network, "train": {"epochs": 1, "batch_size": 17}},
        "method": "mld",
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_photographs_without_labels_join_what_a_teacher_teaches_and_nothing_else(recipe):
    experiment = Experiment(load_recipe(recipe), Console(quiet=True))
    splits = experiment.splits
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [18, 6, 8]
    assert splits.unlabelled.ids == tuple(f"more/{name}" for name in sorted(f"{number}.png" for number in range(16)))
    teacher = experiment.untrained_teacher()
    jobs = {role: experiment.training(role, teacher).job for role in ("teacher", "baseline", "student")}
    assert {role: len(job.train) for role, job in jobs.items()} == {"teacher": 18, "baseline": 18, "student": 34}
    assert (jobs["student"].train.labels[18:] == -1).all()
    assert jobs["student"].unknown == "distil"
    labelled = Experiment(load_recipe(recipe, assignments=["data.unlabelled=null"]), Console(quiet=True))
    without = {role: labelled.training(role, teacher).job.identity for role in jobs}
    assert {role for role, job in jobs.items() if job.identity != without[role]} == {"student"}, "the others stay"
    heard = Experiment(load_recipe(recipe, assignments=["data.unlabelled=null", "data.unknown=distil"]), Console())
    assert heard.training("student", teacher).job.identity != without["student"]


def test_the_command_line_tells_how_many_there_are_and_learns_from_them(recipe, command):
    code, out, err = command("distill", recipe, "--dry-run")
    assert code == 0, err
    assert "18 training, 6 validation, 8 test, 16 unlabelled images; 2 classes" in out
    code, _, err = command("distill", recipe)
    assert code == 0, err
    assert "student: no label is known of 16 of 34 training images, which the teacher alone teaches" in err


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (["data.unknown=ignore"], ConfigError, "`data.unknown: ignore` leaves out"),
        (["method=vanilla"], ConfigError, "`data.unlabelled` would have no effect: no teacher speaks"),
        (["data.unlabelled=null", "data.unknown=distil", "method=vanilla"], ConfigError, "`data.unknown` would"),
        (["data.unlabelled.path=nowhere"], DataError, "nowhere: no such folder"),
        (["data.unlabelled.path=test"], DataError, "every photograph is in a split already"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_before_anything_is_trained(recipe, changes, error, message):
    with pytest.raises(error, match=message):
        _ = Experiment(load_recipe(recipe, assignments=changes), Console(quiet=True)).splits
