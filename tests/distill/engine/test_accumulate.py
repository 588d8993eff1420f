"""A batch taken in pieces: the terms and the gradient of the whole, and what a piece cannot give."""

import copy
import io
from dataclasses import replace
from typing import ClassVar

import jobs
import pytest
import step_cases
import torch
from rich.console import Console

from edgedistill.distill.engine import LiveSource, fit
from edgedistill.distill.engine import step as step_module
from edgedistill.distill.engine.network import TrainedNetwork
from edgedistill.distill.methods import Method, Term, build_method, total
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.distill.models.output import ModelOutput
from edgedistill.distill.plan import time as time_module
from edgedistill.distill.plan.time import estimate
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = Console(quiet=True)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize(("name", "options"), step_cases.METHOD_CASES)
def test_a_step_in_pieces_is_that_of_the_whole_batch_in_value_and_gradient(name, options, count):
    method, student, teacher = step_cases.wired(name, options)
    step_cases.without_chance(student)
    terms, gradients = step_cases.plainly(method, student, teacher)
    taken, found = step_cases.take(method, student, teacher, count)
    assert taken.terms == pytest.approx(terms, rel=1e-10, abs=1e-12)
    step_cases.require_equal(found, gradients)


def test_both_passes_of_a_piece_draw_alike_and_batchnorm_counts_it_once():
    """As all pieces in one graph, each with its own dropout and its own statistics."""
    method, student, teacher = step_cases.wired("mdkd", {})
    student.student.backbone.register_forward_hook(jobs.drop)
    expected = copy.deepcopy(student)
    taken, found = step_cases.take(method, student, teacher, 2)
    outputs, taught, parts = [], [], step_cases.pieces(2)
    for number, part in enumerate(parts):
        torch.manual_seed(step_module._mix(0, step_cases.CONTEXT.step, number, 0))
        taught.append(teacher(teacher.normalize(part.images)).logits)
        outputs.append(expected(expected.normalize(part.images).contiguous()).logits)
    terms = method(
        ModelOutput(torch.cat(outputs)),
        ModelOutput(torch.cat(taught)),
        torch.cat([part.targets for part in parts]),
        step_cases.CONTEXT,
    )
    total(terms).backward()
    assert taken.terms == pytest.approx({name: term.value.item() for name, term in terms.items()}, rel=1e-10)
    step_cases.require_equal(found, {name: parameter.grad for name, parameter in expected.named_parameters()})
    for (name, buffer), other in zip(student.named_buffers(), expected.buffers(), strict=True):
        assert torch.allclose(buffer, other, rtol=1e-12), name
    assert student.student.backbone.stages[0][1].num_batches_tracked == 2


class Late(Method):
    """Relates images from its second step on."""

    needs_teacher: ClassVar[bool] = False

    def __call__(self, student, teacher, targets, context):
        terms = self.supervised_terms(student, targets)
        return terms | ({"late": Term(student.logits.var(), relates_images=True)} if context.step else {})


class Bare(Method):
    """Does not say how its term is reduced."""

    needs_teacher: ClassVar[bool] = False

    def __call__(self, student, teacher, targets, context):
        return {"bare": student.logits.sum()}


@pytest.mark.parametrize(
    ("method", "told"), [(Late(), "returns late, which relates images, only now"), (Bare(), "bare")]
)
def test_a_method_that_does_not_say_what_its_terms_are_is_refused(method, told):
    with pytest.raises(ConfigError, match=told):
        step_cases.take(method, TrainedNetwork(step_cases.network(4, 0), None).double(), None, 2)


def test_the_cost_of_terms_that_relate_images_is_told(make_job, make_model, tint_dataset, monkeypatch):
    monkeypatch.setattr(time_module, "_ENOUGH_SECONDS", 0.0)
    told = io.StringIO()
    small, teacher = make_job(train=tint_dataset(16), method="mdkd", accumulate=4, epochs=1), LiveSource(make_model())
    fit(small, make_model(), teacher, Console(file=told, width=200))
    assert "for terms that relate the images of a whole step (bd2, bd3) every piece runs" in told.getvalue()
    for job, cost in ((small, True), (replace(small, method=build_method("mld")), False)):
        assert ("one more forward pass" in estimate(job, make_model(), teacher).note) == cost


ONE_AT_A_TIME = [
    ({"batch_size": 4, "accumulate": 4}, 64, r"a step of 4 images, `accumulate` 4"),
    ({"batch_size": 1}, 64, r"a step of 1 images, `accumulate` 1"),
    ({"batch_size": 16, "accumulate": 2}, 3, r"a step of 2 of the 3 images, `accumulate` 2"),
]


@pytest.mark.parametrize(("settings", "images", "told"), ONE_AT_A_TIME)
def test_one_image_at_a_time_is_refused_before_the_start_where_there_are_batchnorms(
    make_job, make_model, tint_dataset, settings, images, told
):
    job = make_job(train=tint_dataset(images), **settings)
    for start in (lambda: fit(job, make_model(), None, QUIET), lambda: estimate(job, make_model(), None)):
        with pytest.raises(ConfigError, match=rf"student: BatchNorm would see one image at a time \({told}\)"):
            start()


def test_one_image_at_a_time_is_enough_without_batchnorms(make_job, tint_dataset):
    torch.manual_seed(0)
    model = build_from_spec(ModelSpec(name="timm/convnext_atto"), 3)
    job = make_job(train=tint_dataset(8), epochs=1, batch_size=2, accumulate=2)
    assert fit(job, model, None, QUIET).is_file()
