"""`mlflow`: a run on the tracking server, or in the local store, that MLflow's own variables name."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ....runtime.files import write_atomic
from .base import LOGGERS, Logger, Run, flattened, scalars

_FILE = "mlflow.run"  # the run's id
_LONGEST = 500  # characters of a parameter
_AT_ONCE = 100  # parameters, and metrics below MLflow's 1000


@LOGGERS.register("mlflow")
class MLflow(Logger):
    """`MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME` say where; the experiment is else called edgedistill.

    By a client of its own, so that a run which the calling program has open is left alone.
    """

    requires = ("mlflow",)
    extra = "mlflow"

    def __init__(self, run: Run) -> None:
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        super().__init__(run)
        self._client = MlflowClient()
        known = run.folder / _FILE
        if known.is_file():
            self._id = known.read_text().strip()
            self._client.update_run(self._id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "edgedistill")
        experiment = self._client.get_experiment_by_name(name)
        where = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self._id = self._client.create_run(where, run_name=run.name).info.run_id
        write_atomic(known, self._id)
        params = [Param(_allowed(key), str(value)[:_LONGEST]) for key, value in flattened(run.settings).items()]
        for first in range(0, len(params), _AT_ONCE):
            self._client.log_batch(self._id, params=params[first : first + _AT_ONCE])
        for file, text in run.files.items():
            self._client.log_text(self._id, text, file)
        self._client.log_dict(self._id, dict(run.environment), "environment.json")

    def log(self, history: Sequence[Mapping[str, Any]]) -> None:
        from mlflow.entities import Metric

        now, step = int(1000 * time.time()), history[-1]["epoch"]
        metrics = [Metric(_allowed(name), float(value), now, step) for name, value in scalars(history[-1]).items()]
        for first in range(0, len(metrics), _AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[first : first + _AT_ONCE])

    def close(self, *, finished: bool) -> None:
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")


def _allowed(name: str) -> str:
    """A name without the characters that MLflow refuses."""
    return re.sub(r"[^\w\-. /:]", "_", name)
