"""A training that is interrupted and resumed equals an uninterrupted one."""

import contextlib
import io
import signal
import sys
from types import ModuleType

import pytest
import torch
from jobs import with_dropout
from rich.console import Console

from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.engine import fit, interrupt
from edgedistill.distill.engine import trainer as trainer_module
from edgedistill.runtime.errors import InterruptedRunError

pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = Console(quiet=True)


class StopAfter:
    """Stands in for Ctrl-C: true from the n-th time it is asked."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.fixture
def interrupt_after(monkeypatch):
    def install(steps: int) -> None:
        monkeypatch.setattr(trainer_module, "catch_interrupt", lambda _: contextlib.nullcontext(StopAfter(steps)))

    yield install
    monkeypatch.setattr(trainer_module, "catch_interrupt", interrupt.catch_interrupt)


def test_ctrl_c_while_rich_imports_its_emoji_is_no_fault(make_job, make_model, monkeypatch):
    """Which it does when it first prints: here at the end of the first epoch."""

    def print_first(*_) -> None:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "rich._emoji_codes", ModuleType("half imported"))
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("edgedistill.distill.engine.progress.TrainingProgress.epoch", print_first)
    told = io.StringIO()
    with pytest.raises(InterruptedRunError, match="stopped after step 4 of 8"):
        fit(make_job(), make_model(), None, Console(file=told))
    assert "stopping after this step" in told.getvalue()


def weights(path):
    return load_student(path).model.state_dict()


@pytest.mark.parametrize("steps", [1, 4, 6])
def test_a_resumed_training_ends_with_the_very_same_weights(make_job, make_model, interrupt_after, monkeypatch, steps):
    whole = fit(make_job("whole"), make_model(), None, QUIET)
    job = make_job("parts")
    interrupt_after(steps)
    with pytest.raises(InterruptedRunError, match=r"stopped after step \d+ of 8.*same command continues"):
        fit(job, make_model(), None, QUIET)
    monkeypatch.undo()
    torch.rand(1)  # whatever happened to the global generator in between does not matter
    resumed = fit(job, make_model(), None, QUIET)
    for (name, a), b in zip(weights(whole).items(), weights(resumed).values(), strict=True):
        assert torch.equal(a, b), name


def test_dropout_resumes_exactly_too(make_job, make_model, interrupt_after, monkeypatch):
    whole = fit(make_job("whole"), with_dropout(make_model()), None, QUIET)
    job = make_job("parts")
    interrupt_after(2)
    with pytest.raises(InterruptedRunError):
        fit(job, with_dropout(make_model()), None, QUIET)
    monkeypatch.undo()
    resumed = fit(job, with_dropout(make_model()), None, QUIET)
    for (name, a), b in zip(weights(whole).items(), weights(resumed).values(), strict=True):
        assert torch.equal(a, b), name
