"""`tensorboard`: curves in the training's own folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from .base import LOGGERS, Logger, Run, scalars


@LOGGERS.register("tensorboard")
class TensorBoard(Logger):
    """Events in `tensorboard/`; those of epochs that are trained again are purged."""

    requires = ("tensorboard",)
    extra = "train"

    def __init__(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(run)
        self._events = SummaryWriter(str(run.folder / "tensorboard"), purge_step=run.epoch)
        if not run.epoch:
            for name, text in run.files.items():
                self._events.add_text(name, "".join(f"    {line}\n" for line in text.splitlines()))

    def log(self, history: Sequence[Mapping[str, Any]]) -> None:
        for name, value in scalars(history[-1]).items():
            self._events.add_scalar(name, value, history[-1]["epoch"])
        self._events.flush()

    def close(self, *, finished: bool) -> None:
        self._events.close()
