"""The record of a training: metrics.jsonl for machines, TensorBoard events for eyes."""

import json
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ...runtime.files import write_atomic
from .summary import shares


def write_records(folder: Path, history: list[dict[str, Any]]) -> None:
    """Rewrite metrics.jsonl, one line per finished epoch."""
    write_atomic(folder / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in history))


class Journal:
    """Writes one record per finished epoch.

    Args:
        folder: of the training.
        epoch: the first epoch that will be written; later events of an interrupted run are purged.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self._folder = folder
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=epoch)

    def write(self, history: list[dict[str, Any]], per_class: dict[str, float]) -> None:
        """Rewrite metrics.jsonl, so that it holds exactly the finished epochs, and add the last one's events.

        Args:
            history: one record per finished epoch.
            per_class: AP of each class in the last epoch, in points; empty when it was not evaluated.
        """
        write_records(self._folder, history)
        record = history[-1]
        scalars = {f"loss/{name}": value for name, value in record["terms"].items()}
        scalars |= {
            name: record[name] for name in ("lr", "images_per_second", "skipped_steps", "val_mAP") if name in record
        }
        scalars |= {f"time/{phase}": share for phase, share in shares([record["time"]]).items()}
        scalars |= {f"AP/{name}": ap for name, ap in per_class.items()}
        for name, value in scalars.items():
            self._events.add_scalar(name, value, record["epoch"])
        self._events.flush()

    def close(self) -> None:
        self._events.close()
