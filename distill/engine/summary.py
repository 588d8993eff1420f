"""summary.json of one training: how it stands, at which accuracy, and where the time went."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...runtime.files import write_atomic
from .job import Job
from .state import TrainState


def write_summary(job: Job, state: TrainState) -> None:
    """Rewrite it from the records of the finished epochs."""
    write_atomic(job.folder / "summary.json", json.dumps(_summary(job, state), indent=2) + "\n")


def is_finished(job: Job) -> bool:
    """Whether this very job ran to its end, so that its checkpoint need only be loaded."""
    try:
        found = json.loads((job.folder / "summary.json").read_bytes())
    except (OSError, ValueError):
        return False
    return bool(found["finished"] and found["identity"] == job.identity and (job.folder / job.checkpoint).is_file())


def _summary(job: Job, state: TrainState) -> dict[str, Any]:
    scored = [record for record in state.history if "val_mAP" in record]
    best = max(scored, key=lambda record: record["val_mAP"], default=None)
    return {
        "title": job.title,
        "checkpoint": job.checkpoint if best else None,
        "finished": state.epoch == job.settings.epochs,
        "epochs": state.epoch,
        "epochs_planned": job.settings.epochs,
        "seed": job.seed,
        "identity": job.identity,
        "best": best
        and {
            "epoch": best["epoch"] + 1,
            "weights": best.get("weights", "raw"),
            "val_mAP": best["val_mAP"],
            "val_AP": best["val_AP"],
        },
        "images_per_second": float(np.median([record["images_per_second"] for record in state.history])),
        "seconds": round(sum(record["seconds"] for record in state.history), 2),
        "time": shares([record["time"] for record in state.history]),
        "skipped_steps": state.skipped_steps,
        "undecodable_images": sorted(state.bad_images.values()),
    }


def shares(times: Sequence[dict[str, float]]) -> dict[str, float]:
    """Fractions of the summed seconds per phase; they add up to 1."""
    total = sum(sum(seconds.values()) for seconds in times) or 1.0
    phases = list(dict.fromkeys(phase for seconds in times for phase in seconds))
    return {phase: round(sum(seconds.get(phase, 0.0) for seconds in times) / total, 4) for phase in phases}
