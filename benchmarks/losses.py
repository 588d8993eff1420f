"""Time and peak memory of every loss, forward and backward: beside its plain reference, and as batch and classes grow.

    python benchmarks/losses.py --labels coco_val2014_labels.npz      # `labels` (images, 80), 1 where present
    python benchmarks/losses.py --table                               # what docs/losses.md shows of the stored results

CPU seconds of one thread, which other work on the machine disturbs less than the clock; what is compared takes turns in
one process, medians over the rounds. Memory is the most that PyTorch's allocator has handed out at a time in a step, on
top of the inputs (of plain Python: tracemalloc's peak, where the reference takes less than 3 s). The plain references
are those of the tests: loops, float64, their derivatives in plain Python too. L2D's authors' loops: loss_loops.py.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from loss_loops import class_and_instance_aware_loops
from loss_measuring import LARGEST, WIDTH, Inputs, loss_cases, peak_bytes, plainly, ratio, seconds, step
from loss_tables import tables
from torch import Tensor

from edgedistill.distill import losses
from edgedistill.distill.engine import ALONE
from edgedistill.distill.engine.environment import describe_environment
from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "losses.json"

IMAGES, CLASSES = 64, 80
GROWING_CLASSES = (20, 80, 320, 1000, 3200, 10_000)
GROWING_IMAGES = (16, 32, 64, 128, 256, 512)
ORDERS = (2, 3, 4)
# Plain references that would take more than a minute, by what they would visit.
TOO_LONG = {
    "hierarchical_context": "3.2 million positions, four times",
    "rkd_angle": "64^3 angles of 768 numbers",
    "batch_dependencies": "38 million sequences",
    "instance_dependency": "32 million sequences",
    "instance_dependencies": "2.4 billion sequences",
    "batch_and_instance_dependencies": "2.4 billion sequences",
}


def first_cases() -> dict[str, loss_cases.Case]:
    """The first way of calling each loss."""
    return {case.loss: case for case in reversed(loss_cases.all_cases())}


def each_loss(inputs: Inputs, rounds: int) -> dict:
    """Every loss beside its plain reference."""
    cases = dict(sorted(first_cases().items()))
    arguments = {name: inputs.of(case, IMAGES, CLASSES) for name, case in cases.items()}
    steps = {name: step(case.call, *arguments[name]) for name, case in cases.items()}
    taken = seconds(steps, rounds)
    found = {}
    for name, case in cases.items():
        found[name] = {"seconds": taken[name], "peak_bytes": peak_bytes(steps[name])}
        if name in TOO_LONG:
            found[name]["plain"] = {"skipped": TOO_LONG[name]}
        else:
            student, *others = arguments[name]
            plain = plainly(case, student.detach(), *others)
            value = case.call(student, *others).item()
            plain["relative_error"] = abs(value - plain["value"]) / max(abs(plain["value"]), 1e-30)
            plain["times_slower"] = plain["seconds"] / statistics.median(taken[name])
            found[name]["plain"] = plain
        print(f"{name:34}{statistics.median(taken[name]) * 1e3:10.3f} ms", found[name]["plain"], flush=True)
    return found


def l2d(inputs: Inputs, rounds: int) -> dict:
    """CD and ID at once beside the authors' loops."""
    case = first_cases()["class_and_instance_aware"]
    arguments = inputs.of(case, IMAGES, CLASSES)
    forms = {"loops": class_and_instance_aware_loops, "library": losses.class_and_instance_aware}
    steps = {name: step(lambda *a, of=form: sum(of(*a)), *arguments) for name, form in forms.items()}
    taken = seconds(steps, rounds)
    values = {name: [term.item() for term in form(*arguments)] for name, form in forms.items()}
    return {
        "seconds": taken,
        "peak_bytes": {name: peak_bytes(run) for name, run in steps.items()},
        "values": values,
        "positives": int((arguments[2] == 1).sum()),
        "times_faster": ratio(taken["loops"], taken["library"]),
    }


def mdkd(inputs: Inputs, rounds: int) -> dict:
    """BD and ID of orders 2-4 beside MLD + BCE and one C x C product, and what an order costs."""
    student, teacher, targets = inputs.of(first_cases()["mld"], IMAGES, CLASSES)
    upstream = torch.ones(CLASSES, CLASSES)

    def product() -> None:
        torch.autograd.backward(student.T @ teacher, upstream)
        student.grad = None

    def both(*orders: int) -> Callable[..., Tensor]:
        def call(s: Tensor, t: Tensor, y: Tensor) -> Tensor:
            terms = losses.batch_and_instance_dependencies(s, t, orders, orders, targets=y)
            return torch.stack([term for level in terms for term in level.values()]).sum()

        return call

    calls = {
        "bd+id": both(*ORDERS),
        "mld+bce": lambda s, t, y: losses.mld(s, t, y) + losses.bce(s, y),
        **{f"order {order}": both(order) for order in (2, 4, 6)},
    }
    steps = {name: step(call, student, teacher, targets) for name, call in calls.items()} | {"product": product}
    taken = seconds(steps, rounds)
    return {
        "seconds": taken,
        "of_the_limit": ratio(taken["bd+id"], taken["mld+bce"], taken["mld+bce"], taken["product"]),
        "order_6_to_4": ratio(taken["order 6"], taken["order 4"]),
    }


def precision(inputs: Inputs, rounds: int) -> dict:
    """MDKD's terms of 10,000 labels in float32: relative errors against float64, and time per label."""
    found = {"errors": [], "seconds": {}}
    student, teacher, _ = inputs.of(first_cases()["mld"], IMAGES, GROWING_CLASSES[-1])
    levels = {"batch": losses.batch_dependencies, "instance": losses.instance_dependencies}
    for distance in (None, 1.0, 1e-1, 1e-2, 1e-3):
        s = student.detach() if distance is None else teacher + distance * student.detach()
        s.requires_grad_()
        for level, loss in levels.items():
            exact, rounded = (loss(z, teacher.to(z.dtype), ORDERS) for z in (s.double(), s))
            for order in ORDERS:
                slope, near = (torch.autograd.grad(terms[order], s, retain_graph=True)[0] for terms in (exact, rounded))
                value = exact[order].item()
                found["errors"].append(
                    {
                        "level": level,
                        "order": order,
                        "distance": distance,
                        "value": value,
                        "relative_error": abs(rounded[order].item() - value) / value,
                        "gradient_error": float((near - slope).norm() / slope.norm()),
                    }
                )
    for classes in (1000, 10_000):
        arguments = inputs.of(first_cases()["mld"], IMAGES, classes)
        steps = {
            level: step(lambda s, t, y, of=loss: sum(of(s, t, ORDERS, y).values()), *arguments)
            for level, loss in levels.items()
        }
        taken = seconds(steps, rounds)
        found["seconds"][str(classes)] = {level: statistics.median(values) for level, values in taken.items()}
    return found


def growth(inputs: Inputs, rounds: int) -> list[dict]:
    """Every loss over classes (where it reads any) and over images; MDKD also where a label is unknown."""
    found = []
    over_classes = [("classes", IMAGES, classes) for classes in GROWING_CLASSES]
    over_images = [("images", images, CLASSES) for images in GROWING_IMAGES]
    cases = dict(sorted(first_cases().items()))
    unknown = "batch_and_instance_dependencies, a label unknown"
    cases[unknown] = cases["batch_and_instance_dependencies"]
    for name, case in cases.items():
        reads_classes = case.inputs in (loss_cases.logits, loss_cases.embeddings)
        for over, images, classes in [*over_classes, *over_images] if reads_classes else over_images:
            row = {"loss": name, "over": over, "images": images, "classes": classes}
            arguments = inputs.of(case, images, classes)
            if arguments is None:
                row["skipped"] = f"inputs above {LARGEST >> 30} GiB"
            else:
                if name == unknown:
                    arguments[2][0, 0] = -1
                run = step(case.call, *arguments)
                row |= {"seconds": statistics.median(seconds({name: run}, rounds)[name]), "peak_bytes": peak_bytes(run)}
            found.append(row)
            print(row, flush=True)
            del arguments
    return found


PARTS = {"losses": each_loss, "l2d": l2d, "mdkd": mdkd, "precision": precision, "growth": growth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, help=".npz with `labels` (images, 80), 1 where a class is present")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="the others stay as stored"
    )
    parser.add_argument("--table", action="store_true", help="print the stored results as Markdown, measure nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    stored = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    if arguments.table:
        print(tables(stored))
        return
    if arguments.labels is None:
        sys.exit("Name a file of label rows with --labels; it needs an array `labels` of 80 columns.")
    torch.set_num_threads(1)
    inputs = Inputs(np.load(arguments.labels)["labels"])
    commit = describe_environment(torch.device("cpu"), ALONE, ())["commit"]
    for part in arguments.parts:
        load = os.getloadavg()[0]
        numbers = PARTS[part](inputs, arguments.rounds)
        stored[part] = {"commit": commit, "load_average": [load, os.getloadavg()[0]], "found": numbers}
    report = {
        "what": "CPU seconds of one thread and peak bytes, forward + backward",
        "command": f"python benchmarks/losses.py --labels {arguments.labels.name} --rounds {arguments.rounds}",
        "size": {"images": IMAGES, "classes": CLASSES, "width": WIDTH},
        "device": msgspec.to_builtins(describe_device()),
        "torch": torch.__version__,
        **{part: stored[part] for part in PARTS if part in stored},
    }
    write_atomic(arguments.out, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
