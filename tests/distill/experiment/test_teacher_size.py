"""`teacher.input`: a teacher that sees its student's views at a size, and in a normalisation, of its own."""

import pytest
import torch
from rich.console import Console

from edgedistill.distill.data.loader import Batch
from edgedistill.distill.engine.images import build_views
from edgedistill.distill.engine.world import ALONE
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")

QUIET = Console(quiet=True)
TEACHER = "teacher={model: {name: timm/test_efficientnet}, train: {epochs: 1, batch_size: 16}, accept: true, input: %s}"
HALF = "mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]"


@pytest.fixture
def make(cpsd_recipe, tmp_path):
    def open_(*changes, console=QUIET):
        fixed = [f"output={tmp_path}", "tasks=null", "method=mld", TEACHER % f"{{size: 64, {HALF}}}"]
        return Experiment(load_recipe(cpsd_recipe, assignments=[*fixed, *changes]), console)

    return open_


def said(experiment, teacher, view):
    """What the student's training hears of a batch, and the images of that view."""
    job, _, source, _ = experiment.training("student", teacher)
    views = build_views(job)
    images = torch.stack([views.image(index, view) for index in range(4)])
    targets = torch.from_numpy(job.train.labels[:4])
    opened = source.open(job, views, torch.device("cpu"), ALONE, QUIET)
    return opened(Batch(images, targets, torch.arange(4), view, []), images, targets).logits, images


def test_it_is_trained_at_its_size_and_shown_the_students_view_resized(make):
    experiment = make("student.train.augment=[flip, shift]")
    teacher = experiment.teacher()
    assert teacher.card.preprocessing.size == (64, 64)
    assert teacher.card.preprocessing.mean == (0.5, 0.5, 0.5)
    logits, images = said(experiment, teacher, view=3)
    assert images.shape[1:3] == (32, 32)
    pixels = images.permute(0, 3, 1, 2)
    larger = torch.nn.functional.interpolate(pixels, (64, 64), mode="bilinear", antialias=True)
    expected = teacher.model((larger / 255 - 0.5) / 0.5).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
    with torch.no_grad():
        assert not torch.allclose(logits, teacher.model(teacher.model.normalize(images)).logits, atol=1e-3)


def test_what_is_stored_is_that_of_its_size(make, tmp_path):
    experiment = make("student.train.views=1", "teacher.cache=true")
    teacher = experiment.teacher()
    stored, images = said(experiment, teacher, view=0)
    _, _, source, _ = experiment.training("student", teacher)
    live = source.network(source.network.normalize(images)).logits
    torch.testing.assert_close(stored, live, rtol=2**-10, atol=1e-3)
    said(make("student.train.views=1", "teacher.cache=true", "teacher.input.size=48"), teacher, view=0)
    assert len(list((tmp_path / "caches" / "teachers").iterdir())) == 2, "another size, other outputs"


def test_the_command_line_tells_and_teaches(make, cpsd_recipe, command, tmp_path):
    teacher = make().teacher()
    given = (cpsd_recipe, f"output={tmp_path}", "tasks=null", "method=mld", "name=again", "train.epochs=1")
    section = f"teacher={{checkpoint: {teacher.path}, accept: true%s}}"
    code, out, err = command("distill", *given, section % ", input: {size: 64}", "--dry-run")
    assert code == 0, err
    assert "the student's view of 32x32, resized to 64x64" in out.replace("\n", " ")
    code, _, err = command("distill", *given, section % "")
    assert code == 0, err
    assert "learned from images of 64x64 and is shown the student's 32x32; `teacher.input.size: [64, 64]`" in err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["method=reviewkd"], "compares the teacher's stages with the student's place by place"),
        (["teacher={checkpoint: x.safetensors, input: {mean: [0, 0, 0]}}"], "are in the checkpoint already"),
        (["teacher={scores: x.csv, scale: logits, input: {size: 64}}"], "`teacher.input` has no effect on scores"),
    ],
)
def test_what_cannot_be_is_told(make, changes, message):
    with pytest.raises(ConfigError, match=message):
        make(*changes)
