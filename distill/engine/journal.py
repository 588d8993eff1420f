"""The record of a training: metrics.jsonl for machines, TensorBoard events for eyes."""

import json
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ...runtime.files import write_atomic


class Journal:
    """Writes one record per finished epoch.

    Args:
        folder: of the training.
        epoch: the first epoch that will be written; later events of an interrupted run are purged.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self._path = folder / "metrics.jsonl"
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=epoch)

    def write(self, history: list[dict[str, Any]]) -> None:
        """Rewrite metrics.jsonl, so that it holds exactly the finished epochs, and add the last one's events."""
        write_atomic(self._path, "".join(json.dumps(record) + "\n" for record in history))
        record = history[-1]
        scalars = {f"loss/{name}": value for name, value in record["terms"].items()}
        scalars |= {name: record[name] for name in ("lr", "images_per_second", "val_mAP") if name in record}
        for name, value in scalars.items():
            self._events.add_scalar(name, value, record["epoch"])
        self._events.flush()

    def close(self) -> None:
        self._events.close()
