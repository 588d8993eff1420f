"""`wandb`: a run of Weights & Biases, which WANDB_PROJECT, WANDB_ENTITY and WANDB_MODE (`offline`) steer."""

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from ....runtime.files import write_atomic
from .base import LOGGERS, Logger, Run, scalars

_FILE = "wandb.run"  # the run's id


@LOGGERS.register("wandb")
class WeightsAndBiases(Logger):
    """The project is called edgedistill where nobody says otherwise; files of an offline run lie in `wandb/`.

    A run that is continued has the same id, also offline, where `wandb sync` joins its parts.
    """

    requires = ("wandb",)
    extra = "wandb"

    def __init__(self, run: Run) -> None:
        import wandb

        super().__init__(run)
        known = run.folder / _FILE
        name = known.read_text().strip() if known.is_file() else secrets.token_hex(4)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "edgedistill"),
            name=run.name,
            id=name,
            resume="allow",
            dir=str(run.folder),
            config={**run.settings, "environment": dict(run.environment), "files": dict(run.files)},
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        write_atomic(known, name)

    def log(self, history: Sequence[Mapping[str, Any]]) -> None:
        self._run.log(scalars(history[-1]), step=history[-1]["epoch"])

    def close(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)
