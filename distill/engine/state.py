"""Everything that a training needs to continue exactly where it stopped: last.ckpt."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ...runtime.errors import CheckpointError, first_line
from ...runtime.files import atomic_path
from ..models import Classifier


@dataclass
class TrainState:
    """The moving parts of one training.

    Attributes:
        model: what the optimiser updates, branches included.
        ema: its moving average, or None.
        epoch: the epoch in progress.
        batch: how many batches of it are done.
        best: validation mAP of the saved checkpoint, in points; -1 before the first evaluation.
        history: one record per finished epoch, as in metrics.jsonl.
    """

    model: Classifier
    ema: ModelEmaV3 | None
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    epoch: int = 0
    batch: int = 0
    best: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)

    @property
    def evaluated(self) -> Classifier:
        """The weights that are evaluated and saved."""
        return self.ema.module if self.ema is not None else self.model

    def save(self, path: Path, identity: str) -> None:
        """Write last.ckpt; `identity` is the hash of what may not change between the parts of a run."""
        state = {
            "identity": identity,
            "modules": {name: part.state_dict() for name, part in self._parts().items()},
            "scalars": {name: getattr(self, name) for name in ("epoch", "batch", "best")},
            "history": self.history,
            "skipped": self.skipped,
            "generator": torch.get_rng_state(),
            "cuda_generators": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        with atomic_path(path) as temporary:
            try:
                torch.save(state, temporary)
            except RuntimeError as error:  # how it reports a full disk
                raise OSError(str(error).splitlines()[0]) from error

    def restore(self, path: Path, identity: str) -> None:
        """Read last.ckpt back.

        Raises:
            CheckpointError: damaged, or written by a run with another recipe.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
            raise CheckpointError(f"{path}: damaged ({first_line(error)}). Delete it to start over.") from None
        if state["identity"] != identity:
            raise CheckpointError(
                f"{path}: belongs to another recipe (data, model or hyper-parameters changed). "
                "Use another `name:`, or delete the folder to start over."
            )
        for name, part in self._parts().items():
            part.load_state_dict(state["modules"][name])
        for name, value in state["scalars"].items():
            setattr(self, name, value)
        self.history, self.skipped = state["history"], state["skipped"]
        torch.set_rng_state(state["generator"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_generators"])

    def _parts(self) -> dict[str, Any]:
        parts = {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }
        return parts if self.ema is None else {**parts, "ema": self.ema}
