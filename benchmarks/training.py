"""What distilling costs over training alone: the student by itself, with a live teacher, with its stored outputs.

    python benchmarks/training.py                          # the pairs that suit this machine
    python benchmarks/training.py --pair demo --rounds 9
    python benchmarks/training.py --images FOLDER          # decode the JPEGs of a folder instead of arrays in memory
    python benchmarks/training.py --decoded-cache off      # on a GPU: loading processes instead of its own memory

The three take turns in one process, a few optimiser steps each, and the ratio is that of the medians over the rounds.
All run the very loop that `edgedistill distill` runs, with its loader; storing the teacher's outputs is timed apart.

On a GPU a turn is an epoch of a second or more, utilisation is the driver's, sampled ten times a second during each
variant's turns, and a step that takes as long as the host needs to launch it is bound by `launching`.
"""

import argparse
import contextlib
import dataclasses
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from edgedistill import __version__
from edgedistill.distill.checkpoint import ModelCard
from edgedistill.distill.engine import ALONE, Job, TrainSettings, choose_device
from edgedistill.distill.engine.prepare import prepare
from edgedistill.distill.engine.prepared import Prepared
from edgedistill.distill.engine.teachers import LiveSource
from edgedistill.distill.methods import TrainingContext, build_method
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.distill.teacher_cache import CachedSource
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.preprocess import Preprocessing

RESULTS = Path(__file__).parent / "results" / "training.json"
VARIANTS = ("alone", "live", "cached")
CLASSES = 80
LAUNCHING = 0.9  # share of a step that the host is busy, beyond which it is what a GPU waits for
console = Console(highlight=False, width=140)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A student and the teacher it learns from."""

    student: ModelSpec
    teacher: ModelSpec
    size: int
    batch_size: int
    steps: int  # of each variant in a round


RESNET50, RESNET101 = ModelSpec(name="torchvision/resnet50"), ModelSpec(name="torchvision/resnet101")
PAIRS = {
    # the demo's: small enough that fixed costs would show
    "demo": Pair(
        ModelSpec(name="shufflenetv2", width=0.5, stem="small"), ModelSpec(name="torchvision/resnet18"), 64, 32, 12
    ),
    "mobilenetv2-160": Pair(ModelSpec(name="mobilenetv2"), RESNET50, 160, 16, 4),
    "mobilenetv2-224-resnet50": Pair(ModelSpec(name="mobilenetv2"), RESNET50, 224, 64, 100),
    "mobilenetv2-224-resnet101": Pair(ModelSpec(name="mobilenetv2"), RESNET101, 224, 64, 100),
    "shufflenetv2-224-resnet50": Pair(ModelSpec(name="shufflenetv2"), RESNET50, 224, 64, 100),
    "shufflenetv2-224-resnet101": Pair(ModelSpec(name="shufflenetv2"), RESNET101, 224, 64, 100),
}


def dataset(pair: Pair, folder: Path | None) -> Dataset:
    """Enough images for a turn, which is an epoch, with about three labels each."""
    count = pair.batch_size * pair.steps
    rng = np.random.default_rng(0)
    labels = (rng.random((count, CLASSES)) < 3 / CLASSES).astype(np.int8)
    names = tuple(f"{number}" for number in range(count))
    if folder is None:
        images = rng.integers(0, 256, (min(count, 512), pair.size, pair.size, 3), dtype=np.uint8)
        return Dataset("arrays", _classes(), names, [images[number % len(images)] for number in range(count)], labels)
    photographs = sorted(folder.rglob("*.jpg"))
    return Dataset(
        str(folder.name), _classes(), names, [photographs[i % len(photographs)] for i in range(count)], labels
    )


def _classes() -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(CLASSES))


def variant(name: str, pair: Pair, data: Dataset, method: str, *, settings: TrainSettings, folder: Path) -> Prepared:
    """One of the three, ready to take steps."""
    torch.manual_seed(0)
    student, teacher = build_from_spec(pair.student, CLASSES), build_from_spec(pair.teacher, CLASSES)
    card = ModelCard(
        edgedistill=__version__,
        name=name,
        model=pair.student,
        classes=_classes(),
        preprocessing=Preprocessing(size=(pair.size, pair.size)),
        thresholds=(0.5,) * CLASSES,
    )
    job = Job(
        title=name,
        folder=folder / name,
        checkpoint="student.safetensors",
        card=card,
        train=data,
        validation=data,
        method=build_method("vanilla" if name == "alone" else method),
        settings=settings,
        seed=0,
        identity=name,
        caches=folder / "caches",
    )
    source = {"alone": None, "live": LiveSource(teacher), "cached": CachedSource(teacher)}[name]
    return prepare(job, student, source, console, ALONE)


def measure(pair: Pair, method: str, rounds: int, images: Path | None, **options: object) -> dict:
    """Seconds per step of every variant, by round and by phase."""
    data = dataset(pair, images)
    settings = TrainSettings(
        epochs=rounds + 1,
        batch_size=pair.batch_size,
        augment=["flip"],
        views=1,
        **options,
    )
    with tempfile.TemporaryDirectory() as temporary:
        stored = time.perf_counter()
        ready = {"cached": variant("cached", pair, data, method, settings=settings, folder=Path(temporary))}
        stored = time.perf_counter() - stored
        for name in ("alone", "live"):
            ready[name] = variant(name, pair, data, method, settings=settings, folder=Path(temporary))
        turns = {name: [] for name in VARIANTS}
        for number in range(-1, rounds):
            for name in VARIANTS if number % 2 else reversed(VARIANTS):
                prepared = ready[name]
                watch = prepared.step.stopwatch
                watch.reset({} if number <= 0 else watch.seconds)  # the first warms up; others' turns do not count
                found = turn(prepared, number + 1)
                if number >= 0:
                    turns[name].append(found)
        phases = {
            name: {phase: value / (rounds * pair.steps) for phase, value in prepared.step.stopwatch.seconds.items()}
            for name, prepared in ready.items()
        }
    seconds = {name: [found.seconds / pair.steps for found in turns[name]] for name in VARIANTS}
    launching = {name: statistics.median(found.launching / pair.steps for found in turns[name]) for name in VARIANTS}
    used = {name: [percent for found in turns[name] for percent in found.utilisation] for name in VARIANTS}
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    rates = {name: pair.batch_size / value for name, value in medians.items()}
    on_gpu = choose_device().type == "cuda"
    return {
        "seconds_per_step": seconds,
        "images_per_second": rates,
        "ratio_to_alone": {name: value / medians["alone"] for name, value in medians.items()},
        "phases": phases,
        "launching_seconds_per_step": launching,
        "bound_by": {
            name: "launching" if on_gpu and launching[name] > LAUNCHING * medians[name] else max(times, key=times.get)
            for name, times in phases.items()
        },
        "teacher_seconds_per_step": phases["live"]["teacher"],
        "storing": {"outputs": len(data), "seconds": stored, "per_second": len(data) / stored},
        "gpu_utilisation": {name: statistics.mean(values) if values else None for name, values in used.items()},
    }


@dataclasses.dataclass(frozen=True)
class Turn:
    """An epoch's steps."""

    seconds: float
    launching: float  # of these in the host's calls, without waiting for data or for the step before
    utilisation: list[int]  # of the GPU in percent, sampled


def turn(prepared: Prepared, epoch: int) -> Turn:
    """Take the steps of an epoch as the training does."""
    prepared.state.trained.train()
    prepared.state.epoch = epoch
    steps, launching, before = len(prepared.sampler), 0.0, None
    with sampled_utilisation() as used:
        started = time.perf_counter()
        for number, pieces in enumerate(prepared.steps()):
            began = time.perf_counter()
            context = TrainingContext(epoch, epoch * steps + number, prepared.total_steps)
            launched = prepared.step(pieces, context)
            launching += time.perf_counter() - began
            if before is not None:
                before.read()
            before = launched
        before.read()
        seconds = time.perf_counter() - started
    return Turn(seconds, launching, used)


@contextlib.contextmanager
def sampled_utilisation() -> Iterator[list[int]]:
    """Of this process's GPU in percent, ten times a second; nothing without one, or without nvidia-smi."""
    used: list[int] = []
    if not (torch.cuda.is_available() and shutil.which("nvidia-smi")):
        yield used
        return
    which = f"--id={torch.cuda.current_device()}"
    query = ["nvidia-smi", which, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    with subprocess.Popen(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as sampler:
        try:
            yield used
        finally:
            sampler.terminate()
            told = sampler.communicate()[0].split()
            used += [int(percent) for percent in told if percent.isdigit()]


def show(name: str, pair: Pair, found: dict) -> None:
    table = Table(title=f"{name}: {pair.student.name} taught by {pair.teacher.name}, {pair.size} px")
    for heading in ("", "images/s", "x alone", "data", "teacher", "student", "loss", "update", "GPU", "bound by"):
        table.add_column(heading, justify="left" if heading in ("", "bound by") else "right")
    for kind in VARIANTS:
        phases = found["phases"][kind]
        cells = (f"{1000 * phases.get(p, 0):.1f} ms" for p in ("data", "teacher", "student", "loss", "update"))
        rate, ratio = found["images_per_second"][kind], found["ratio_to_alone"][kind]
        used = found["gpu_utilisation"][kind]
        busy = "" if used is None else f"{used:.0f} %"
        table.add_row(kind, f"{rate:.1f}", f"{ratio:.3f}", *cells, busy, found["bound_by"][kind])
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ["demo", "mobilenetv2-160"] if choose_device().type == "cpu" else list(PAIRS)[2:]
    parser.add_argument("--pair", nargs="+", choices=list(PAIRS), default=default)
    parser.add_argument("--method", default="mdkd", help="of the two that have a teacher (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--workers", type=int, default=None, help="loading processes (default: as in training)")
    parser.add_argument("--images", type=Path, default=None, help="folder of .jpg photographs")
    kept = "off" if choose_device().type == "cpu" else "device"
    parser.add_argument("--decoded-cache", default=kept, help="as in a recipe (default here: %(default)s)")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found = {}
    for name in arguments.pair:
        pair = PAIRS[name]
        found[name] = measure(
            pair,
            arguments.method,
            arguments.rounds,
            arguments.images,
            workers=arguments.workers,
            decoded_cache=arguments.decoded_cache,
            precision=arguments.precision,
        )
        show(name, pair, found[name])
        _write(arguments, found)  # what is measured is kept, whatever stops the rest


def _write(arguments: argparse.Namespace, found: dict) -> None:
    report = {
        "command": f"python benchmarks/training.py --method {arguments.method} --rounds {arguments.rounds}",
        "images": "photographs" if arguments.images else "arrays in memory",
        "method": arguments.method,
        "decoded_cache": arguments.decoded_cache,
        "precision": arguments.precision,
        "device": msgspec.to_builtins(describe_device()),
        "torch": torch.__version__,
        "pairs": {name: {**dataclasses.asdict(PAIRS[name]), **values} for name, values in found.items()},
    }
    write_atomic(arguments.out, json.dumps(report, indent=2, default=msgspec.to_builtins) + "\n")


if __name__ == "__main__":
    main()
