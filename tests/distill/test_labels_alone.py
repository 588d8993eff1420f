"""What learns from labels alone, beside a method's student: the teacher, the baseline, the teachers of sub-tasks."""

import pytest
import tiny_network
import torch
from rich.console import Console

from edgedistill.distill.experiment import Experiment
from edgedistill.distill.methods import build_method, labels_alone
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")

TEACHER = f"teacher={{model: {{name: {tiny_network.NAME}}}, train: {{epochs: 1}}}}"


@pytest.fixture
def read(cpsd_recipe, tmp_path):
    """A recipe with an ordinary teacher; texts change it."""

    def load(*changes):
        return load_recipe(cpsd_recipe, assignments=[f"output={tmp_path}", "tasks=null", TEACHER, *changes])

    return load


def opened(loaded) -> Experiment:
    return Experiment(loaded, Console(quiet=True))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ({"name": "l2d", "lambda_calibration": 0.3}, {"reduction": "sum", "lambda_calibration": 0.3}),
        ({"name": "l2d", "protocol": "paper"}, {}),
        ({"name": "mld", "protocol": "code", "supervised": "pal"}, {"supervised": "pal", "reduction": "sum"}),
        ({"name": "cpsd"}, {"supervised": "asl", "reduction": "sum"}),
        ({"name": "mdkd", "supervised": {"name": "asl", "clip": 0}}, {"supervised": {"name": "asl", "clip": 0}}),
        ({"name": "kd", "form": "binary", "supervised": "asl"}, {"supervised": "asl"}),
        ({"name": "ud", "protocol": "code"}, {"reduction": "sum"}),
        ({"name": "vanilla", "reduction": "sum"}, {"reduction": "sum"}),
    ],
)
def test_a_methods_labels_alone_are_reduced_and_weighted_as_with_it(method, expected):
    assert labels_alone(build_method(**method)) == build_method("vanilla", **expected)


def test_the_baseline_learns_as_the_student_does(read):
    experiment = opened(read("method=mld", "method.protocol=code"))
    assert experiment.training("baseline", None).job.method == build_method("vanilla", reduction="sum")


def test_a_baseline_begins_where_the_student_does(read):
    experiment = opened(read("method=mld", "student.start=teacher"))
    teacher = experiment.untrained_teacher()
    teacher.model.head.linear.bias.add_(1)
    found = [experiment.training(role, teacher) for role in ("baseline", "student")]
    for training in found:
        assert torch.equal(training.model.head.linear.bias, teacher.model.head.linear.bias)
    assert found[0].teacher is None
    fresh = opened(read("method=mld")).training("baseline", teacher)
    assert not torch.equal(fresh.model.head.linear.bias, teacher.model.head.linear.bias)


def test_the_teachers_of_sub_tasks_weigh_their_branches_as_the_method_says(open_cpsd):
    experiment = open_cpsd("student.model.branches=[calibration]", "method.lambda_calibration=0.3")
    task = experiment.sub_teachers.planned()[0]
    expected = build_method("vanilla", supervised="asl", reduction="sum", lambda_calibration=0.3)
    assert experiment.sub_teachers.training(task).job.method == expected


def test_a_teacher_learns_by_its_own_method(read):
    assert read("method=mld").teacher_method() == build_method("vanilla")
    chosen = read("method=mld", "teacher.method=vanilla", "teacher.method.supervised.name=asl")
    expected = build_method("vanilla", supervised={"name": "asl"})
    assert opened(chosen).training("teacher", None).job.method == expected


CALIBRATED = "student.model.branches=[calibration]"
DECODED = "student.model.branches=[ml_decoder]"
BINARY = "method={name: kd, form: binary, supervised: {name: asl, clip: 0.1}}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["method=mld", "teacher.method=mld"], "`teacher.method` learns from a teacher, and the teacher has none"),
        (["method=mld", "teacher.method=vanila"], "`teacher.method.name`: .*'vanilla'"),
        (
            ["method=mld", "teacher.method={name: vanilla, reduction: mean}"],
            "`teacher.method.reduction`: .*Allowed: batchmean, sum",
        ),
        (["method=mld", "teacher={checkpoint: t, method: vanilla}"], "`teacher.method` .* trains none"),
        (
            ["method=mld", "teacher.method={name: vanilla, lambda_calibration: 1}"],
            "`teacher.method.lambda_calibration` would have no effect: the teacher has no calibration branch",
        ),
        (["method={name: mld, lambda_calibration: 5}"], "`method.lambda_calibration` would have no effect"),
        (["method={name: ud, lambda_calibration: 5}", CALIBRATED], "`method.lambda_calibration` would have no effect"),
        (["method={name: ud, lambda_calibration: 5}", "baseline=true"], "`method.lambda_calibration` would"),
        ([BINARY], "`method.supervised` would have no effect"),
        ([BINARY, DECODED, "student.model.head=ml_decoder"], "`method.supervised` would have no effect"),
    ],
)
def test_what_would_have_no_effect_is_refused(read, changes, message):
    with pytest.raises(ConfigError, match=message):
        read(*changes)


@pytest.mark.parametrize(
    "changes",
    [
        ["method={name: mld, lambda_calibration: 5}", CALIBRATED],
        ["method={name: ud, lambda_calibration: 5}", CALIBRATED, "baseline=true"],
        ["method={name: ud, lambda_calibration: 5, alpha: 0, beta: 0}", CALIBRATED],
        ["method={name: ud, lambda_calibration: 5, supervised: bce}"],
        ["method=mld", "teacher.method={name: vanilla, lambda_calibration: 1}", "teacher.model.branches=[calibration]"],
        [BINARY, "baseline=true"],
        [BINARY, DECODED],
        ["method={name: kd, form: binary, supervised: {name: bce}}"],
    ],
)
def test_what_has_an_effect_is_not(read, changes):
    assert read(*changes)
