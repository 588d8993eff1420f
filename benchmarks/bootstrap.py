"""The paired bootstrap of mAP and AP beside a loop over scikit-learn's, and beside the jackknife that `verify` takes.

    OMP_NUM_THREADS=1 python benchmarks/bootstrap.py [--images 40000] [--classes 80] [--replicates 2000] [--loop 2]

Two models' scores of the same images, 3 % of the labels present. A replicate draws the images with replacement and
computes the AP of every class of both models. The loop over scikit-learn runs a few replicates, as anybody would write
it, and what all would take is extrapolated; its values and ours are compared on those. Everything runs on one core.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.metrics import (
    bootstrap_average_precision,
    leave_one_out,
    map_drop_interval,
    mean_over_classes,
    percentile_interval,
    resampled_average_precision,
)

RESULTS = Path(__file__).parent / "results" / "bootstrap.json"
PREVALENCE = 0.03
NOISE = 0.05  # of the second model's scores, as an int8 copy has it


def draw(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of two models, float32 (N, C) each, and labels int8 (N, C)."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((images, classes)) < PREVALENCE).astype(np.int8)
    scores = (rng.normal(size=labels.shape) + 2.0 * labels).astype(np.float32)
    return scores, scores + rng.normal(0.0, NOISE, labels.shape).astype(np.float32), labels


def seconds(work: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def loop(models: list[np.ndarray], labels: np.ndarray, replicates: int) -> tuple[float, float]:
    """Seconds of one replicate by scikit-learn, and the largest difference of an AP to ours on the same draws."""
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(1)
    off, started, compared = 0.0, time.perf_counter(), 0.0
    for _ in range(replicates):
        drawn = rng.integers(0, len(labels), len(labels))
        theirs = np.array(
            [
                [average_precision_score(labels[drawn, c], scores[drawn, c]) for c in range(labels.shape[1])]
                for scores in models
            ]
        )
        spent, ours = seconds(lambda drawn=drawn: _ours(models, labels, drawn))
        compared += spent
        off = max(off, float(np.abs(ours - theirs).max()))
    return (time.perf_counter() - started - compared) / replicates, off


def _ours(models: list[np.ndarray], labels: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    counts = np.bincount(drawn, minlength=len(labels)).astype(np.uint8)[None]
    return np.stack([resampled_average_precision(scores, labels, counts)[0] for scores in models])


def measure(images: int, classes: int, replicates: int, loops: int) -> dict[str, Any]:
    before, after, labels = draw(images, classes)
    models = [before, after]
    bootstrap_s, drawn = seconds(lambda: bootstrap_average_precision(models, labels, resamples=replicates))
    first, second = mean_over_classes(drawn)
    jackknife_s, interval = seconds(
        lambda: map_drop_interval(leave_one_out(before, labels), leave_one_out(after, labels))
    )
    loop_s, off = loop(models, labels, loops)
    return {
        "images": images,
        "classes": classes,
        "replicates": replicates,
        "bootstrap_s": bootstrap_s,
        "jackknife_s": jackknife_s,
        "loop_s_a_replicate": loop_s,
        "loop_replicates": loops,
        "loop_s_extrapolated": loop_s * replicates,
        "times_faster": loop_s * replicates / bootstrap_s,
        "largest_difference_of_an_ap": off,
        "drop_by_the_bootstrap": msgspec.to_builtins(percentile_interval(interval.estimate, first - second, 0.95)),
        "drop_by_the_jackknife": msgspec.to_builtins(interval),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--loop", type=int, default=2, help="replicates of the loop over scikit-learn")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.relative_to(RESULTS.parents[2])}")
    asked = parser.parse_args()
    found = measure(asked.images, asked.classes, asked.replicates, asked.loop)
    print(
        f"{found['replicates']:,} paired replicates of {found['classes']} classes x {found['images']:,} images: "
        f"{found['bootstrap_s']:.1f} s; a loop over scikit-learn {found['loop_s_extrapolated'] / 3600:.1f} h "
        f"(extrapolated from {found['loop_replicates']}): {found['times_faster']:,.0f} times as long; largest "
        f"difference of an AP {found['largest_difference_of_an_ap']:.1e}; the jackknife {found['jackknife_s']:.1f} s"
    )
    if asked.save:
        record = {"machine": msgspec.to_builtins(describe_device()), **found}
        write_atomic(RESULTS, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
