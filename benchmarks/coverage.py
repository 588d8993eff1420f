"""How often confidence intervals of mAP, of its drop and of a class's AP hold the truth, on data whose truth is known.

    python benchmarks/coverage.py [--samples 160] [--processes 2] [--out benchmarks/results/coverage.json]

A class's scores are normal: N(0, 1) without it and N(d, 1) with it, d spread over the classes; labels and scores of one
image are correlated. The population's AP is then an integral, and a model with added noise N(0, s) is the same model
with d / sqrt(1 + s^2). Four intervals are compared, all of 95 %: the jackknife's that `runtime.metrics` gives, and of
the bootstrap over images the percentile, the basic and the BCa interval. A class's own AP is the case of one class.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import msgspec
import numpy as np
from scipy.special import ndtr, ndtri

from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.metrics import (
    LeftOut,
    average_precision,
    bootstrap_average_precision,
    leave_one_out,
    map_drop_interval,
    map_interval,
    mean_over_classes,
)

RESULTS = Path(__file__).parent / "results" / "coverage.json"
LEVEL = 0.95
RESAMPLES = 400
SHARED = 0.3  # of the variance of scores, and of what decides labels: common to all classes of an image
ABILITIES = {"hard": (0.8, 3.0), "easy": (2.0, 4.5)}  # d from the worst class to the best
NOISES = {"drop, int8-like noise": 0.02, "drop, more noise": 0.3, "drop, real loss": 1.0}  # s
# Long tails: the classes' prevalence from the one with the smallest d to that with the largest, in equal ratios.
TAILS = {"rare ones harder": (0.004, 0.3), "rare ones easier": (0.3, 0.004)}
# classes, images, prevalence or the long tail's name
CELLS = (
    (1, 100, 0.15), (1, 300, 0.03), (1, 1000, 0.01), (1, 1000, 0.03), (1, 5000, 0.01),
    (20, 60, 0.15), (20, 100, 0.03), (20, 200, 0.03), (20, 1000, 0.01), (20, 1000, 0.03), (20, 1000, 0.15),
    (20, 5000, 0.01),
    (80, 100, 0.01), (80, 200, 0.01), (80, 500, 0.01), (80, 1000, 0.01), (80, 5000, 0.01), (80, 100, 0.03),
    (80, 200, 0.03), (80, 237, "rare ones harder"), (80, 237, "rare ones easier"), (80, 1000, "rare ones harder"),
)  # fmt: skip


class Population(NamedTuple):
    """Classes as they are in endlessly many images: how often they show, and how far their scores stand apart."""

    prevalence: np.ndarray
    apart: np.ndarray

    def draw(self, random: np.random.Generator, images: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores (N, C) and labels (N, C) of some images."""
        shown = _correlated(random, images, len(self.apart)) > -ndtri(self.prevalence)
        return shown * self.apart + _correlated(random, images, len(self.apart)), shown.astype(np.int8)

    def average_precision(self, noise: float = 0.0) -> np.ndarray:
        """The AP (C,) of endlessly many images: precision integrated over the positives' scores."""
        apart = self.apart / math.sqrt(1.0 + noise**2)
        score = np.linspace(-9.0, 14.0, 6001)[:, None]
        hits = self.prevalence * ndtr(apart - score)
        precision = hits / (hits + (1.0 - self.prevalence) * ndtr(-score))
        density = np.exp(-0.5 * (score - apart) ** 2) / math.sqrt(2.0 * math.pi)
        return (precision * density).sum(axis=0) * float(score[1, 0] - score[0, 0])


def population(classes: int, prevalence: float | str, ability: str) -> Population:
    low, high = ABILITIES[ability]
    apart = np.linspace(low, high, classes) if classes > 1 else np.array([(low + high) / 2])
    if isinstance(prevalence, str):
        return Population(np.geomspace(*TAILS[prevalence], classes), apart)
    return Population(np.full(classes, prevalence), apart)


class Tally:
    """What one method said about one quantity: how often it was right, how wide it was, how long it took."""

    def __init__(self) -> None:
        self.samples = self.given = self.below = self.above = 0
        self.width = self.seconds = 0.0

    def add(self, ends: tuple[float | None, float | None], truth: float, seconds: float) -> None:
        low, high = ends
        self.samples += 1
        self.seconds += seconds
        if low is None or high is None:
            return
        self.given += 1
        self.below += truth < low
        self.above += truth > high
        self.width += high - low

    def record(self) -> dict[str, float | int | None]:
        """`coverage` and `width` (points) of the intervals that were given."""
        given = self.given or math.nan
        numbers = {
            "coverage": 1.0 - (self.below + self.above) / given,
            "truth_below": self.below / given,
            "truth_above": self.above / given,
            "width": self.width / given,
            "ms": 1000.0 * self.seconds / self.samples,
        }
        kept = {key: None if math.isnan(value) else round(value, 4) for key, value in numbers.items()}
        return {"samples": self.samples, "given": self.given, **kept}


def cell(truth: Population, images: int, samples: int, bootstrapped: int, seed: int) -> dict[str, dict[str, Tally]]:
    """Tallies by quantity and method; the first `bootstrapped` samples go through the bootstrap too."""
    random = np.random.default_rng(seed)
    ap = truth.average_precision()
    truths = {"mAP": ap, **{name: ap - truth.average_precision(noise) for name, noise in NOISES.items()}}
    tallies: dict[str, dict[str, Tally]] = {name: {} for name in truths}
    for sample in range(samples):
        scores, targets = truth.draw(random, images)
        models = [scores, *(scores + noise * random.normal(size=scores.shape) for noise in NOISES.values())]
        shown = (targets == 1).any(axis=0)
        methods = [_jackknife(models, targets)]
        if sample < bootstrapped and shown.any():
            methods.append(_bootstrap(models, targets, seed=sample))
        for found in methods:
            for quantity, method, ends, seconds in found:
                right = 100.0 * float(truths[quantity][shown].mean()) if shown.any() else math.nan
                tallies[quantity].setdefault(method, Tally()).add(ends, right, seconds)
    return tallies


Found = tuple[str, str, tuple[float | None, float | None], float]


def _jackknife(models: list[np.ndarray], targets: np.ndarray) -> Iterator[Found]:
    started = time.process_time()
    reference = leave_one_out(models[0], targets)
    interval = map_interval(reference, LEVEL)
    yield "mAP", "jackknife", (interval.low, interval.high), time.process_time() - started
    for name, scores in zip(NOISES, models[1:], strict=True):
        started = time.process_time()
        interval = map_drop_interval(reference, leave_one_out(scores, targets), LEVEL)
        yield name, "jackknife", (interval.low, interval.high), time.process_time() - started


def _bootstrap(models: list[np.ndarray], targets: np.ndarray, seed: int) -> Iterator[Found]:
    started = time.process_time()
    drawn = mean_over_classes(bootstrap_average_precision(models, targets, resamples=RESAMPLES, seed=seed))
    seconds = (time.process_time() - started) / len(models)
    estimates = [float(mean_over_classes(average_precision(scores, targets))) for scores in models]
    left_out = [_without(leave_one_out(scores, targets)) for scores in models]
    yield from _ends("mAP", estimates[0], drawn[0], left_out[0], seconds)
    for name, estimate, resampled, without in zip(NOISES, estimates[1:], drawn[1:], left_out[1:], strict=True):
        yield from _ends(name, estimates[0] - estimate, drawn[0] - resampled, left_out[0] - without, seconds)


def _ends(name: str, estimate: float, drawn: np.ndarray, without: np.ndarray, seconds: float) -> Iterator[Found]:
    drawn = drawn[~np.isnan(drawn)]
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    yield name, "percentile", (low, high), seconds
    yield name, "basic", (2 * estimate - high, 2 * estimate - low), seconds
    yield name, "BCa", _bca(estimate, drawn, without.mean() - without), seconds


def _bca(estimate: float, drawn: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Efron's bias-corrected and accelerated interval, the acceleration from the jackknife."""
    normal = NormalDist()
    below = ((drawn < estimate).mean() + (drawn <= estimate).mean()) / 2
    bias = normal.inv_cdf(float(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn))))
    squares = (weight**2).sum()
    pull = float((weight**3).sum() / (6 * squares**1.5)) if squares else 0.0
    ends = []
    for end in (normal.inv_cdf((1 - LEVEL) / 2), normal.inv_cdf((1 + LEVEL) / 2)):
        moved = bias + end
        ends.append(float(np.quantile(drawn, normal.cdf(bias + moved / (1 - pull * moved)))))
    return ends[0], ends[1]


def _without(model: LeftOut) -> np.ndarray:
    return mean_over_classes(model.without)


def _correlated(random: np.random.Generator, images: int, classes: int) -> np.ndarray:
    """Standard normal (N, C); any two classes of an image correlate by `SHARED`."""
    common = math.sqrt(SHARED) * random.normal(size=(images, 1))
    return common + math.sqrt(1.0 - SHARED) * random.normal(size=(images, classes))


def speed(images: int = 40_000, classes: int = 80, resamples: int = 2_000) -> dict[str, float | int]:
    """Processor seconds of both ways for a pair of models, on one core."""
    scores, targets = population(classes, 0.03, "easy").draw(np.random.default_rng(0), images)
    started = time.process_time()
    pair = [leave_one_out(scores, targets), leave_one_out(scores + 0.02, targets)]
    map_drop_interval(pair[0], pair[1])
    jackknife = time.process_time() - started
    started = time.process_time()
    bootstrap_average_precision([scores, scores + 0.02], targets, resamples=resamples)
    bootstrap = time.process_time() - started
    return {"images": images, "classes": classes, "resamples": resamples,
            "jackknife_s": round(jackknife, 2), "bootstrap_s": round(bootstrap, 2)}  # fmt: skip


def measured(job: tuple[str, int, int]) -> dict[str, Any]:
    """The record of one cell of one population. A quarter of the samples goes through the bootstrap too.

    The widest cells take half of the samples, and none of theirs goes through the bootstrap: it would take an hour.
    """
    ability, number, samples = job
    classes, images, prevalence = CELLS[number]
    many = images * classes > 90_000
    truth = population(classes, prevalence, ability)
    found = cell(truth, images, samples // (2 if many else 1), 0 if many else samples // 4, seed=number)
    return {
        "classes": classes,
        "images": images,
        "prevalence": prevalence if isinstance(prevalence, str) else f"{100 * prevalence:g} %",
        "ability": ability,
        "positives_per_class": round(float(images * truth.prevalence.mean()), 1),
        "mAP": round(100 * float(truth.average_precision().mean()), 1),
        "found": {name: {method: tally.record() for method, tally in of.items()} for name, of in found.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=160)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    jobs = [(ability, number, arguments.samples) for ability in ABILITIES for number in range(len(CELLS))]
    records = []
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        for record in pool.map(measured, jobs):
            records.append(record)
            print(" ".join(f"{key} {value}" for key, value in record.items() if key != "found"), flush=True)
            for quantity, of in record["found"].items():
                line = [f"{m} {_percent(r['coverage'])} ({r['given']}/{r['samples']})" for m, r in of.items()]
                print(f"    {quantity:24}" + "  ".join(line), flush=True)
    result = {
        "what": f"share of samples whose {100 * LEVEL:g} % interval holds the truth, and its mean width in points",
        "command": f"python benchmarks/coverage.py --samples {arguments.samples}",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": msgspec.to_builtins(describe_device()),
        "resamples": RESAMPLES,
        "cells": records,
        "speed": speed(),
    }
    print(result["speed"])
    write_atomic(arguments.out, json.dumps(result, indent=1) + "\n")


def _percent(share: float | int | None) -> str:
    return "   -  " if share is None else f"{100 * share:5.1f}%"


if __name__ == "__main__":
    main()
