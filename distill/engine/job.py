"""One training, completely described."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...runtime.datasets import Dataset
from ..checkpoint import ModelCard
from ..methods import Method
from .settings import TrainSettings


@dataclass(frozen=True)
class Job:
    """One training, completely described.

    Attributes:
        title: for progress.
        folder: where last.ckpt, metrics.jsonl, summary.json, TensorBoard events and the checkpoint go.
        checkpoint: file name of the best weights, e.g. "student.safetensors".
        card: what the checkpoint says about itself; thresholds and metrics are filled in.
        train: the training part.
        validation: selects the epoch and the thresholds.
        method: the objective.
        settings: hyper-parameters.
        seed: of order, augmentation and dropout.
        identity: hash of everything that may not change when the run is continued.
        max_bad_share: share of undecodable images at which the run stops.
        unknown: whether a teacher speaks where labels are unknown (`distil`) or its terms leave them out (`ignore`).
        caches: folder of stored teachers' outputs and decoded images, shared between runs.
        records: small files, written as soon as the folder is known to be this job's.
    """

    title: str
    folder: Path
    checkpoint: str
    card: ModelCard
    train: Dataset
    validation: Dataset
    method: Method
    settings: TrainSettings
    seed: int
    identity: str
    max_bad_share: float = 0.01
    unknown: Literal["ignore", "distil"] = "ignore"
    caches: Path | None = None
    records: Mapping[Path, str] = field(default_factory=dict)

    @property
    def last(self) -> Path:
        """Everything that an exact resume needs."""
        return self.folder / "last.ckpt"

    @property
    def cache_folder(self) -> Path:
        """`caches`, or one beside the job's own files."""
        return self.caches or self.folder / "caches"
