"""`student.start: teacher`: a student that continues its teacher, as in UD's self-distillation."""

import pytest
import torch
from rich.console import Console

from edgedistill.distill.checkpoint import save_student
from edgedistill.distill.engine.state import read_part
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.experiment.continuing import continue_from
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def make(cpsd_recipe, tmp_path):
    """UD with a teacher of the student's own network; texts change the recipe."""

    def open_(*changes):
        model = "{name: tiny, branches: [calibration]}"
        teacher = f"{{model: {model}, train: {{epochs: 1, batch_size: 16}}, accept: true}}"
        fixed = ["tasks=null", "method={name: ud, beta: 0}", f"teacher={teacher}", "student.start=teacher"]
        return Experiment(
            load_recipe(cpsd_recipe, assignments=[f"output={tmp_path}", *fixed, *changes]), Console(quiet=True)
        )

    return open_


def test_the_student_begins_as_its_teacher_with_the_branch_that_both_have(make):
    experiment = make()
    teacher = experiment.teacher()
    expected = {name: value.clone() for name, value in teacher.model.state_dict().items()}
    assert any(name.startswith("branches.calibration") for name in expected)
    training = experiment.training("student", teacher)
    found = training.model.state_dict() | training.part.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert all(parameter.requires_grad for parameter in training.model.parameters())
    fresh = make("student.start=model").training("student", teacher).model.state_dict()
    assert not all(torch.equal(value, expected[name]) for name, value in fresh.items())
    assert experiment.student(teacher).path.is_file()


def test_what_the_method_added_goes_on_in_int8(make):
    """A fresh decoder would pull a trained student apart in its last epoch."""
    experiment = make("student.start=model", "student.int8={}", "method=l2d", "teacher.model.branches=[ml_decoder]")
    teacher = experiment.untrained_teacher()
    assert experiment.student(teacher).path.parent.name == "int8"
    job = experiment.training("student", teacher).job
    kept, last = read_part(job.last, job.identity), experiment.training("int8", teacher)
    assert kept
    assert all(torch.equal(value, kept[name]) for name, value in last.part.state_dict().items())
    assert last.part.adam_rate == pytest.approx(1e-5)


def test_another_teacher_makes_another_training_even_where_nothing_is_taught(make):
    experiment = make("method=vanilla")
    teacher = experiment.untrained_teacher()
    first = experiment.training("student", teacher)
    assert first.teacher is None
    assert experiment.training("student", teacher).job.identity == first.job.identity
    with torch.no_grad():
        teacher.model.head.linear.bias += 1
    assert experiment.training("student", teacher).job.identity != first.job.identity


def test_a_branch_that_teaches_nothing_is_continued_too(make):
    branches = ["student.model.branches=[ml_decoder]", "teacher.model.branches=[ml_decoder]"]
    for method in ("mld", "vanilla"):
        experiment = make(f"method={method}", *branches)
        teacher = experiment.untrained_teacher()
        for parameter in teacher.model.branches.parameters():
            parameter.add_(1)
        expected = teacher.model.state_dict()
        first, again = (experiment.training("student", teacher) for _ in range(2))
        found = first.model.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in found.items()), method
        assert first.teacher is None or not first.teacher.network.branches, "nothing reads it"
        assert first.job.identity == again.job.identity


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("student.model.name=timm/test_resnet", "`name` is timm/test_resnet, the teacher's tiny"),
        ("student.model.head=linear_max", "`head` is linear_max, the teacher's linear"),
        ("student.model.stem=small", "`stem` is small, the teacher's standard"),
        ("teacher.input.std=[1,1,1] input.std=[2,2,2]", r"`std` is \(2\.0, .*, the teacher's \(1\.0, 1\.0, 1\.0\)"),
        ("teacher.input.std=[1,1,1]", None),
        ("input.mean=[0,0,0]", None),
        ("student.model.branches=[ml_decoder]", None),
    ],
)
def test_only_the_teachers_own_network_can_be_continued(make, tmp_path, change, message):
    if message is None:
        assert make(*change.split(" "))
        return
    where = r"recipe\.yaml.*: `student\.start: teacher` continues the teacher's network, .*"
    with pytest.raises(ConfigError, match=where + message):
        make(*change.split(" "))
    # What a file holds shows when it is read.
    teacher = make().untrained_teacher()
    save_student(tmp_path / "file.safetensors", teacher.model, teacher.card)
    of_student = [one for one in change.split(" ") if not one.startswith("teacher.")]
    stored = make(f"teacher={{checkpoint: {tmp_path}/file.safetensors}}", *of_student)
    with pytest.raises(ConfigError, match=where + message.split(" is ")[0]):
        stored.training("student", stored.teacher())


def test_a_backbones_branches_are_no_training_only_ones(make_model):
    model, start = make_model(), make_model()
    start.backbone.branches = torch.nn.Linear(1, 1)
    with pytest.raises(ConfigError, match=r"another one \(backbone\.branches\.bias and 1 more weights differ\)"):
        continue_from(model, start, "recipe.yaml")


def test_there_must_be_a_teacher_to_continue(make):
    with pytest.raises(ConfigError, match=r"`student\.start: teacher` .*: add a `teacher:` section"):
        make("teacher=null", "method=vanilla")
