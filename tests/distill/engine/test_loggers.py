"""Where a training is logged to: by name, continued with it, and never its end."""

import csv
import json
from pathlib import Path

import pytest
from rich.console import Console

from edgedistill.distill.engine import TrainSettings, fit
from edgedistill.distill.engine.journal import Journal
from edgedistill.distill.engine.loggers import LOGGERS, Logger, require_loggers
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime.errors import ConfigError, InterruptedRunError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def interrupted(make_job, make_model, monkeypatch):
    """Train two epochs with the loggers, stopped in the second and continued; gives the job."""

    def run(*loggers, **options):
        job, left = make_job(epochs=2, loggers=list(loggers), **options), [7]

        def asked(self, interrupt, bad=()):
            left[0] -= 1
            if left[0] == 0:
                self._save()
                raise InterruptedRunError("stopped")

        with monkeypatch.context() as patch:
            patch.setattr("edgedistill.distill.engine.trainer._Training._stop_if", asked)
            with pytest.raises(InterruptedRunError):
                fit(job, make_model(), None, Console(quiet=True))
        fit(job, make_model(), None, Console(quiet=True))
        return job

    return run


def records(job):
    return [json.loads(line) for line in (job.folder / "metrics.jsonl").open()]


def test_csv_holds_a_row_for_each_epoch_and_tensorboard_its_own_files(interrupted):
    job = interrupted("csv", "tensorboard")
    rows = list(csv.DictReader((job.folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row, record in zip(rows, records(job), strict=True):
        assert float(row["val_mAP"]) == record["val_mAP"]
        assert float(row["loss/bce"]) == record["terms"]["bce"]
        assert float(row["lr"]) == record["lr"]
        assert float(row["AP/red"]) == record["val_AP"]["red"]
    assert list((job.folder / "tensorboard").iterdir())


@pytest.mark.slow
def test_mlflow_has_one_run_with_all_epochs(interrupted, monkeypatch, tmp_path):
    pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    pytest.importorskip("sqlalchemy", reason="the extra `mlflow` is not installed")
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)  # its artifacts lie in the current folder
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    job = interrupted("mlflow")
    client = MlflowClient()
    experiment = client.get_experiment_by_name("edgedistill")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "tints/student"
    assert run.info.status == "FINISHED"
    assert run.data.params["train.epochs"] == "2"
    assert run.data.params["method.name"] == "Vanilla"
    history = {one.step: one.value for one in client.get_metric_history(run.info.run_id, "val_mAP")}
    assert history == {record["epoch"]: record["val_mAP"] for record in records(job)}
    assert [one.path for one in client.list_artifacts(run.info.run_id)] == ["environment.json"]


def test_wandb_offline_is_one_run_in_the_trainings_folder(interrupted, monkeypatch):
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    job = interrupted("wandb")
    name = (job.folder / "wandb.run").read_text()
    parts = sorted((job.folder / "wandb").glob(f"offline-run-*-{name}"))
    assert parts
    assert all((part / f"run-{name}.wandb").is_file() for part in parts)
    written = b"".join((part / f"run-{name}.wandb").read_bytes() for part in parts)
    assert b"val_mAP" in written
    assert b"tints/student" in written


class Failing(Logger):
    """Stops working where it is told to."""

    when = ""

    def __init__(self, run):
        super().__init__(run)
        if self.when == "start":
            raise OSError("no route to host")

    def log(self, history):
        if len(history) == self.when:
            raise ConnectionError("no route to host\nand more")


@pytest.mark.parametrize("when", ["start", 1])
def test_a_logger_that_fails_is_told_once_and_never_ends_a_training(make_job, make_model, monkeypatch, when):
    monkeypatch.setitem(LOGGERS._entries, "failing", type("Here", (Failing,), {"when": when}))
    told = Console(record=True, width=400)
    job = make_job(epochs=2, loggers=["failing", "csv"])
    assert fit(job, make_model(), None, told).is_file()
    assert told.export_text().count("student: the logger 'failing' failed and is left out from here on (") == 1
    assert len(list(csv.DictReader((job.folder / "metrics.csv").open()))) == 2
    assert len(records(job)) == 2


class Ended(Logger):
    """Notes whether it is told of a training's end."""

    told: list[bool]

    def log(self, history):
        pass

    def close(self, *, finished):
        self.told.append(finished)


def test_a_training_that_was_killed_after_its_last_epoch_is_told_finished(make_job, make_model, monkeypatch):
    kind = type("Here", (Ended,), {"told": []})
    monkeypatch.setitem(LOGGERS._entries, "ended", kind)
    job = make_job(epochs=1, loggers=["ended"])
    for _ in range(2):
        fit(job, make_model(), None, Console(quiet=True))
        (job.folder / "summary.json").unlink()
    assert kind.told == [True, True]


class Listening(Logger):
    """Keeps what it is told."""

    heard: list[int]

    def log(self, history):
        self.heard.append(history[-1]["epoch"])


def test_what_a_kill_before_the_journal_kept_from_them_is_told_when_it_goes_on(make_job, make_model, monkeypatch):
    kind = type("Here", (Listening,), {"heard": []})
    monkeypatch.setitem(LOGGERS._entries, "listening", kind)
    job = make_job(epochs=2, loggers=["listening"])
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fit(job, make_model(), None, Console(quiet=True))
    assert kind.heard == []
    for _ in range(2):
        fit(job, make_model(), None, Console(quiet=True))
        (job.folder / "summary.json").unlink()
    assert kind.heard == [0, 1], "each once"
    assert len(records(job)) == 2


def test_what_is_missing_is_told_before_anything_starts(make_job, make_model, monkeypatch, cpsd_recipe):
    with pytest.raises(ConfigError, match=r"student: `loggers`: unknown logger 'tensorbord': did you mean 'tensorb"):
        fit(make_job(loggers=["tensorbord"]), make_model(), None, Console(quiet=True))
    monkeypatch.setattr(LOGGERS.get("wandb"), "requires", ("no_such_module",))
    told = (
        r"`student.train.loggers`: 'wandb' needs no_such_module, not installed here: pip install \"edgedistill\[wandb\]"
    )
    with pytest.raises(ConfigError, match=told):
        load_recipe(cpsd_recipe, assignments=["train.loggers=[wandb]"])
    assert not Path(make_job().folder).exists()


def test_loggers_decide_nothing():
    assert "loggers" not in TrainSettings(epochs=1).deciding()
    require_loggers(["csv", "tensorboard"], "here")
