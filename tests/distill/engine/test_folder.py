"""The training's folder: too small, full, damaged, another recipe's or another process's."""

import resource
from dataclasses import replace

import pytest
import torch
from jobs import SMALL
from rich.console import Console

from edgedistill.distill.engine import fit
from edgedistill.distill.engine.folder import sole_writer
from edgedistill.runtime.errors import CheckpointError, EdgedistillError

pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = Console(quiet=True)


def test_a_folder_that_is_too_small_is_told_before_the_first_step(make_job, make_model):
    job = make_job(model=SMALL.name)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(EdgedistillError, match=r"cannot hold the \d+ MB that will be written there"):
            fit(job, make_model(name=SMALL.name), None, QUIET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in job.folder.iterdir()] == [".lock"]


def test_a_full_disk_is_one_line_and_keeps_the_last_checkpoint(make_job, make_model, monkeypatch):
    job = make_job()
    fit(job, make_model(), None, QUIET)
    before = job.last.read_bytes()
    monkeypatch.setattr(torch, "save", lambda *_: (_ for _ in ()).throw(RuntimeError("PytorchStreamWriter failed")))
    longer = replace(job, folder=job.folder.with_name("full"))
    with pytest.raises(EdgedistillError, match=r"cannot write .*last\.ckpt"):
        fit(longer, make_model(), None, QUIET)
    assert job.last.read_bytes() == before
    assert not list(longer.folder.glob("*.tmp"))


def test_a_damaged_last_checkpoint_is_named(make_job, make_model):
    job = make_job()
    fit(job, make_model(), None, QUIET)
    (job.folder / "summary.json").unlink()  # a finished training is loaded without it
    job.last.write_bytes(job.last.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"last\.ckpt: damaged .* Delete it to start over"):
        fit(job, make_model(), None, QUIET)


def test_best_weights_that_were_taken_away_are_told_with_the_way_to_train_again(make_job, make_model, tint_dataset):
    job = make_job(train=tint_dataset(16), epochs=1, ema=None)
    best = fit(job, make_model(), None, QUIET)
    best.unlink()
    with pytest.raises(CheckpointError, match=r"student\.safetensors: is gone.* or delete .*last\.ckpt to train again"):
        fit(job, make_model(), None, QUIET)
    job.last.unlink()
    assert fit(job, make_model(), None, QUIET).is_file()


def test_another_recipe_is_not_continued(make_job, make_model):
    job = make_job()
    fit(job, make_model(), None, QUIET)
    with pytest.raises(CheckpointError, match="belongs to another recipe"):
        fit(replace(job, identity="other"), make_model(), None, QUIET)


def test_a_folder_in_which_another_process_trains_is_left_alone(make_job, make_model):
    job = make_job()
    with sole_writer(job.folder), pytest.raises(EdgedistillError, match="another process is training there"):
        fit(job, make_model(), None, QUIET)
