"""What distilling costs over training alone: the student by itself, with a live teacher, with its stored outputs.

    python benchmarks/training.py                          # the pairs that suit this machine
    python benchmarks/training.py --pair demo --rounds 9
    python benchmarks/training.py --images FOLDER          # decode the JPEGs of a folder instead of arrays in memory

The three take turns in one process, a few optimiser steps each, and the ratio is that of the medians over the rounds.
All run the very loop that `edgedistill distill` runs, with its loader; storing the teacher's outputs is timed apart.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from edgedistill import __version__
from edgedistill.distill.checkpoint import ModelCard
from edgedistill.distill.engine import ALONE, Job, TrainSettings, choose_device
from edgedistill.distill.engine.prepare import Prepared, prepare
from edgedistill.distill.methods import TrainingContext, build_method
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.preprocess import Preprocessing

RESULTS = Path(__file__).parent / "results" / "training.json"
VARIANTS = ("alone", "live", "cached")
CLASSES = 80
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
    "mobilenetv2-224-resnet50": Pair(ModelSpec(name="mobilenetv2"), RESNET50, 224, 64, 20),
    "mobilenetv2-224-resnet101": Pair(ModelSpec(name="mobilenetv2"), RESNET101, 224, 64, 20),
    "shufflenetv2-224-resnet50": Pair(ModelSpec(name="shufflenetv2"), RESNET50, 224, 64, 20),
    "shufflenetv2-224-resnet101": Pair(ModelSpec(name="shufflenetv2"), RESNET101, 224, 64, 20),
}


def dataset(pair: Pair, rounds: int, folder: Path | None) -> Dataset:
    """Enough images for the steps of one epoch, with about three labels each."""
    count = pair.batch_size * pair.steps * (rounds + 1)
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
        cache_teacher=name == "cached",
        caches=folder / "caches",
    )
    return prepare(job, student, None if name == "alone" else teacher, console, ALONE)


def measure(pair: Pair, method: str, rounds: int, workers: int | None, images: Path | None) -> dict:
    """Seconds per step of every variant, by round and by phase."""
    data = dataset(pair, rounds, images)
    settings = TrainSettings(
        epochs=2, batch_size=pair.batch_size, augment=["flip"], views=1, decoded_cache="off", workers=workers
    )
    with tempfile.TemporaryDirectory() as temporary:
        stored = time.perf_counter()
        ready = {"cached": variant("cached", pair, data, method, settings=settings, folder=Path(temporary))}
        stored = time.perf_counter() - stored
        for name in ("alone", "live"):
            ready[name] = variant(name, pair, data, method, settings=settings, folder=Path(temporary))
        steps = {name: enumerate(prepared.steps()) for name, prepared in ready.items()}
        seconds = {name: [] for name in VARIANTS}
        used: list[int] = []
        for number in range(-1, rounds):
            for name in VARIANTS if number % 2 else reversed(VARIANTS):
                prepared = ready[name]
                prepared.state.trained.train()
                watch = prepared.step.stopwatch
                watch.reset({} if number <= 0 else watch.seconds)  # the first warms up; others' turns do not count
                started, before = time.perf_counter(), None
                for _ in range(pair.steps):
                    step, pieces = next(steps[name])
                    launched = prepared.step(pieces, TrainingContext(0, step, prepared.total_steps))
                    if before is not None:
                        before.read()  # as the training does
                    before = launched
                before.read()
                if number >= 0:
                    seconds[name].append((time.perf_counter() - started) / pair.steps)
                    used += _utilisation()
        phases = {
            name: {phase: value / (rounds * pair.steps) for phase, value in prepared.step.stopwatch.seconds.items()}
            for name, prepared in ready.items()
        }
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "seconds_per_step": seconds,
        "images_per_second": {name: pair.batch_size / value for name, value in medians.items()},
        "ratio_to_alone": {name: value / medians["alone"] for name, value in medians.items()},
        "phases": phases,
        "bound_by": {name: max(times, key=times.get) for name, times in phases.items()},
        "teacher_seconds_per_step": phases["live"]["teacher"],
        "storing": {"outputs": len(data), "seconds": stored, "per_second": len(data) / stored},
        "gpu_utilisation": statistics.mean(used) if used else None,
    }


def _utilisation() -> list[int]:
    """Of each GPU in percent, over the driver's last sampling interval; nothing without one."""
    if not torch.cuda.is_available():
        return []
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    return [int(line) for line in subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()]


def show(name: str, pair: Pair, found: dict) -> None:
    table = Table(title=f"{name}: {pair.student.name} taught by {pair.teacher.name}, {pair.size} px")
    for heading in ("", "images/s", "x alone", "data", "teacher", "student", "loss", "update", "bound by"):
        table.add_column(heading, justify="left" if heading in ("", "bound by") else "right")
    for kind in VARIANTS:
        phases = found["phases"][kind]
        cells = (f"{1000 * phases.get(p, 0):.1f} ms" for p in ("data", "teacher", "student", "loss", "update"))
        rate, ratio = found["images_per_second"][kind], found["ratio_to_alone"][kind]
        table.add_row(kind, f"{rate:.1f}", f"{ratio:.3f}", *cells, found["bound_by"][kind])
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ["demo", "mobilenetv2-160"] if choose_device().type == "cpu" else list(PAIRS)[2:]
    parser.add_argument("--pair", nargs="+", choices=list(PAIRS), default=default)
    parser.add_argument("--method", default="mdkd", help="of the two that have a teacher (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--workers", type=int, default=None, help="loading processes (default: as in training)")
    parser.add_argument("--images", type=Path, default=None, help="folder of .jpg photographs")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found = {}
    for name in arguments.pair:
        pair = PAIRS[name]
        found[name] = measure(pair, arguments.method, arguments.rounds, arguments.workers, arguments.images)
        show(name, pair, found[name])
    report = {
        "command": f"python benchmarks/training.py --method {arguments.method} --rounds {arguments.rounds}",
        "images": "photographs" if arguments.images else "arrays in memory",
        "method": arguments.method,
        "device": msgspec.to_builtins(describe_device()),
        "torch": torch.__version__,
        "pairs": {name: {**dataclasses.asdict(PAIRS[name]), **values} for name, values in found.items()},
    }
    write_atomic(arguments.out, json.dumps(report, indent=2, default=msgspec.to_builtins) + "\n")


if __name__ == "__main__":
    main()
