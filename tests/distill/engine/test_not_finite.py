"""Losses, gradients and logits that are not finite: skipped, or the end of the run in one sentence."""

import json
import math
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from rich.console import Console

from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.engine import fit
from edgedistill.distill.engine import prepare as prepare_module
from edgedistill.distill.engine import trainer as trainer_module
from edgedistill.distill.engine.step import Step
from edgedistill.distill.engine.taken import Launched
from edgedistill.distill.methods import Method, Term
from edgedistill.runtime.errors import EdgedistillError

pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = Console(quiet=True)


def test_a_term_that_is_not_finite_stops_the_run_and_names_it_the_step_and_the_images(make_job, make_model):
    model = make_model()
    with torch.no_grad():
        model.head.linear.bias.fill_(math.inf)
    job = make_job(epochs=3, skip_limit=2)
    with pytest.raises(
        EdgedistillError,
        match=r"'bce' was not finite in 2 steps in a row, the last one step 2 of 4 in epoch 1, at learning rate \S+, "
        r"on tints-\d+, .* 12 more",
    ):
        fit(job, model, None, QUIET)


class BreaksAt(Method):
    """A method whose loss or gradient is not finite in chosen steps."""

    needs_teacher: ClassVar[bool] = False

    steps: frozenset[int] = frozenset()
    gradient: bool = False

    def __call__(self, student, teacher, targets, context):
        loss = student.logits.square().mean()
        if context.step in self.steps:
            # sqrt has an infinite slope at 0, where its value is finite
            loss = (student.logits * 0).sum().sqrt() if self.gradient else loss * math.nan
        return {"square": Term(loss)}


@pytest.mark.parametrize(("optimizer", "gradient"), [("adam", False), ("adam", True), ("adamw", False), ("sgd", True)])
def test_a_step_that_is_not_finite_changes_nothing_but_the_count(make_job, make_model, optimizer, gradient):
    """Steps 0 and 5 of 8 break: model, moments, moving average and BatchNorm's statistics stay as they were."""
    broken, left_out = make_model(), make_model()
    job = replace(make_job("broken", optimizer=optimizer), method=BreaksAt(steps=frozenset({0, 5}), gradient=gradient))
    fit(job, broken, None, QUIET)
    records = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["skipped_steps"] for record in records] == [1, 2]
    assert all(math.isfinite(record["terms"]["square"]) for record in records)
    assert json.loads((job.folder / "summary.json").read_text())["skipped_steps"] == 2

    class LeavesOut(Step):
        def __call__(self, pieces, context):
            if context.step not in {0, 5}:
                return super().__call__(pieces, context)
            self.state.schedule.step()
            return Launched({}, torch.zeros(()), torch.tensor(False), torch.ones(()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare_module, "Step", LeavesOut)
        fit(
            replace(make_job("left_out", optimizer=optimizer), method=BreaksAt(steps=frozenset(), gradient=False)),
            left_out,
            None,
            QUIET,
        )
    for (name, a), b in zip(broken.state_dict().items(), left_out.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_training_that_diverges_says_where_and_keeps_the_best_checkpoint(make_job, make_model, monkeypatch):
    """The loss of every step may be finite, and the evaluation's logits not."""
    finish = trainer_module._Training._finish_epoch

    def diverge(self):
        if self.state.epoch == 1:
            with torch.no_grad():
                self.state.ema.module.head.linear.weight[0] = math.nan
        return finish(self)

    monkeypatch.setattr(trainer_module._Training, "_finish_epoch", diverge)
    job = make_job(epochs=3, lr=3.0, schedule="constant", warmup=0.0, optimizer="sgd", clip_grad_norm=1e-3)
    with pytest.raises(EdgedistillError) as told:
        fit(job, make_model(), None, QUIET)
    assert told.value.exit_code == 2
    assert str(told.value).startswith(
        "student: the training diverged in epoch 2 of 3, at learning rate 3 (`lr` 3): validation: the network's logits "
        "of 32 of 32 images (validation-0, ...) are not finite"
    )
    assert str(told.value).endswith(f"the best checkpoint so far is kept, {job.folder / job.checkpoint}.")
    assert load_student(job.folder / job.checkpoint).card.metrics["epoch"] == 1


def test_a_training_that_really_diverges_stops(make_job, make_model):
    job = make_job(epochs=4, lr=1e18, schedule="constant", warmup=0.0, optimizer="sgd", ema=None)
    with pytest.raises(EdgedistillError, match=r"student: .*learning rate 1e\+18.* Lower `lr`"):
        fit(job, make_model(), None, QUIET)
