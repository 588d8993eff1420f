"""Averages of weights: what they are, and which network is evaluated and kept."""

import copy
import json

import pytest
import torch
from rich.console import Console
from torch.optim.swa_utils import update_bn

from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.engine import TrainSettings, fit
from edgedistill.distill.engine.averaging import SwaSettings, refresh_batchnorm

QUIET = Console(quiet=True)
CONSTANT = {"schedule": "constant", "warmup": 0.0, "ema": None}

pytestmark = pytest.mark.usefixtures("one_thread")


def weights(path):
    return load_student(path).model.state_dict()


def test_swa_is_the_mean_of_the_weights_at_the_ends_of_epochs(make_job, make_model):
    def trained(epochs, **options):
        job = make_job(f"{epochs}{len(options)}", epochs=epochs, evaluate_every=epochs, **CONSTANT, **options)
        return weights(fit(job, make_model(), None, QUIET))

    ends = [trained(epochs) for epochs in (2, 3)]
    found = trained(3, swa=SwaSettings(start=0.4))  # after 1.2 epochs
    for name, value in found.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(value, (ends[0][name] + ends[1][name]) / 2, rtol=1e-5, atol=1e-7)
    (first, *_) = [name for name in found if name.endswith("running_var")]
    assert not torch.equal(found[first], ends[1][first])


def test_an_average_gets_its_own_batchnorm_statistics_where_nothing_is_frozen(make_model):
    model, images = make_model().train(), [torch.randn(4, 3, 32, 32) for _ in range(3)]
    ours, theirs = copy.deepcopy(model), copy.deepcopy(model)
    refresh_batchnorm(ours, model, images)
    update_bn(images, theirs)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    assert not ours.training
    model.backbone.eval()
    still = copy.deepcopy(model)
    refresh_batchnorm(still, model, images)
    torch.testing.assert_close(still.state_dict(), model.state_dict())


def test_the_best_of_trained_and_averaged_weights_is_kept_and_recorded(make_job, make_model):
    job = make_job(epochs=2, keep="best", ema=0.9, swa=SwaSettings(start=0.5))
    told = Console(record=True, width=300)
    fit(job, make_model(), None, told)
    records = [json.loads(line) for line in (job.folder / "metrics.jsonl").open()]
    assert [list(record["val_mAP_of"]) for record in records] == [["raw", "ema"], ["raw", "ema", "swa"]]
    for record in records:
        best = max(record["val_mAP_of"], key=record["val_mAP_of"].get)
        assert record.get("weights", "raw") == best
        assert record["val_mAP"] == pytest.approx(record["val_mAP_of"][best], abs=1e-4)
    summary = json.loads((job.folder / "summary.json").read_text())["best"]
    chosen = max(records, key=lambda record: record["val_mAP"])
    assert (summary["weights"], summary["epoch"]) == (chosen.get("weights", "raw"), chosen["epoch"] + 1)
    assert "(raw " in told.export_text()


def test_by_default_an_average_is_evaluated_in_place_of_the_trained_weights(make_job, make_model):
    job = make_job(epochs=2, ema=0.9)
    fit(job, make_model(), None, QUIET)
    records = [json.loads(line) for line in (job.folder / "metrics.jsonl").open()]
    assert [record["weights"] for record in records] == ["ema", "ema"]
    assert not any("val_mAP_of" in record for record in records)


def test_without_swa_a_training_is_the_one_that_it_was():
    assert not {"swa", "keep"} & TrainSettings(epochs=1).deciding().keys()
    assert [SwaSettings().averages(done, 4) for done in (1, 2, 3, 4)] == [False, False, False, True]
    assert SwaSettings().averages(1, 1), "the shortest training has its only epoch"
