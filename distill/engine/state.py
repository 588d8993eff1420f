"""Everything that a training needs to continue exactly where it stopped: last.ckpt."""

import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from ...runtime.errors import CheckpointError, first_line
from ...runtime.files import atomic_path
from ..methods.part import Part
from ..models import Classifier
from .averaging import Keep, MovingAverage, Weights
from .network import TrainedNetwork

_VERSION = 3
_DISK_FAULTS = ("PytorchStreamWriter", "inline_container", "iostream")  # how torch.save reports a full disk
_SCALARS = ("epoch", "batch", "best", "skipped_steps")


@dataclass
class Tally:
    """Sums over the epoch in progress, kept with it so that an interrupted epoch reports all of itself.

    Attributes:
        terms: weighted loss terms, summed over the steps taken.
        steps: how many were taken.
        seconds: spent in them, by phase.
    """

    terms: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, terms: dict[str, float]) -> None:
        """Count one step."""
        self.steps += 1
        for name, value in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Each term's mean over the steps taken."""
        return {name: total / max(1, self.steps) for name, total in self.terms.items()}


@dataclass
class TrainState:
    """The moving parts of one training.

    Attributes:
        model: the network that ships, which the optimiser updates.
        ema: its moving average, or None.
        swa: the mean of its weights at the ends of epochs, or None.
        epoch: the epoch in progress.
        batch: how many batches of it are done.
        best: validation mAP of the saved checkpoint, in points; -1 before the first evaluation.
        skipped_steps: steps not taken because their loss or gradient was not finite.
        tally: of the epoch in progress.
        history: one record per finished epoch, as in metrics.jsonl.
        bad_images: position -> id of training images that could not be decoded.
        part: what the method adds, which it updates too, or None.
    """

    model: Classifier
    ema: MovingAverage | None
    swa: AveragedModel | None
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    epoch: int = 0
    batch: int = 0
    best: float = -1.0
    skipped_steps: int = 0
    tally: Tally = field(default_factory=Tally)
    history: list[dict[str, Any]] = field(default_factory=list)
    bad_images: dict[int, str] = field(default_factory=dict)
    part: Part | None = None
    trained: TrainedNetwork = field(init=False)

    def __post_init__(self) -> None:
        self.trained = TrainedNetwork(self.model, self.part)

    def candidates(self, keep: Keep) -> dict[Weights, Classifier]:
        """The networks that may be evaluated and saved, as they stand now."""
        averages: dict[Weights, Classifier] = {}
        if self.ema is not None:
            averages["ema"] = self.ema.module
        if self.swa is not None and self.swa.n_averaged > 0:
            averages["swa"] = self.swa.module  # type: ignore[assignment]  # what it was given
        return {"raw": self.model, **averages} if keep == "best" or not averages else averages

    @property
    def rate(self) -> float:
        """The training's rate at the next step, which that of a part may be a share of."""
        scale: float = self.optimizer.param_groups[0].get("lr_scale", 1.0)
        return float(self.schedule.get_last_lr()[0]) / scale

    def save(self, path: Path, identity: str) -> None:
        """Write last.ckpt; `identity` is the hash of what may not change between the parts of a run."""
        # No generator: a step's draws depend on (seed, step) alone.
        state = {
            "version": _VERSION,
            "identity": identity,
            "modules": {name: part.state_dict() for name, part in self._parts().items()},
            "scalars": {name: getattr(self, name) for name in _SCALARS},
            "tally": asdict(self.tally),
            "history": self.history,
            "bad_images": self.bad_images,
        }
        with atomic_path(path) as temporary:
            try:
                torch.save(state, temporary)
            except RuntimeError as error:
                if not any(word in str(error) for word in _DISK_FAULTS):
                    raise
                raise OSError(str(error).splitlines()[0]) from error

    def restore(self, path: Path, identity: str) -> None:
        """Read last.ckpt back.

        Raises:
            CheckpointError: damaged, or written by a run with another recipe.
        """
        state = _read(path, identity)
        for name, part in self._parts().items():
            if state["modules"][name]:  # a scaler that was not needed has no state
                part.load_state_dict(state["modules"][name])
        for name, value in state["scalars"].items():
            setattr(self, name, value)
        self.tally = Tally(**state["tally"])
        self.history, self.bad_images = state["history"], state["bad_images"]

    def _parts(self) -> dict[str, Any]:
        parts = {
            "model": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }
        kept = {"ema": self.ema, "swa": self.swa, "part": self.part}
        return parts | {name: one for name, one in kept.items() if one is not None}


def read_position(path: Path, identity: str) -> tuple[int, int]:
    """Epochs that a last.ckpt has finished, and steps of the one after them; raises CheckpointError as `restore`."""
    scalars = _read(path, identity)["scalars"]
    return scalars["epoch"], scalars["batch"]


def read_part(path: Path, identity: str) -> dict[str, Tensor] | None:
    """The weights of what a method added, of a last.ckpt; None where it added nothing; raises as `restore`."""
    found: dict[str, Tensor] | None = _read(path, identity)["modules"].get("part")
    return found


def _read(path: Path, identity: str) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({first_line(error)}). Delete it to start over.") from None
    if state.get("version") != _VERSION:
        raise CheckpointError(
            f"{path}: was written by another version of edgedistill. Finish it with that one, or delete the folder."
        )
    if state["identity"] != identity:
        raise CheckpointError(
            f"{path}: belongs to another recipe (data, model or hyper-parameters changed). "
            "Use another name (`name=...` on the command line, `folder=` in Python), or delete it to start over."
        )
    return state
