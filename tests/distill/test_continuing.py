"""`student.start: teacher`: a student that continues its teacher, as in UD's self-distillation."""

import pytest
import torch
from rich.console import Console

from edgedistill.distill.experiment import Experiment
from edgedistill.distill.recipe import load_recipe
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def make(cpsd_recipe, tmp_path):
    """UD with a teacher of the student's own network; texts change the recipe."""

    def open_(*changes):
        teacher = (
            "{model: {name: shufflenetv2, width: 0.5, branches: [calibration]}, train: {epochs: 1, batch_size: 16}}"
        )
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
    model = experiment.training("student", teacher).model
    assert model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    fresh = make("student.start=model").training("student", teacher).model.state_dict()
    assert not all(torch.equal(value, expected[name]) for name, value in fresh.items())
    assert experiment.student(teacher).path.is_file()


def test_another_teacher_makes_another_training_even_where_nothing_is_taught(make):
    experiment = make("method=vanilla")
    teacher = experiment.untrained_teacher()
    first = experiment.training("student", teacher)
    assert first.teacher is None
    assert experiment.training("student", teacher).job.identity == first.job.identity
    with torch.no_grad():
        teacher.model.head.linear.bias += 1
    assert experiment.training("student", teacher).job.identity != first.job.identity


def test_only_the_teachers_own_network_can_be_continued(make):
    experiment = make("student.model.width=1.0")
    with pytest.raises(ConfigError, match=r"recipe\.yaml.*: `student\.start: teacher` continues the teacher's network"):
        experiment.training("student", experiment.untrained_teacher())
    with pytest.raises(ConfigError, match=r"`student\.start: teacher` .*: add a `teacher:` section"):
        make("teacher=null", "method=vanilla")
