"""What it brings to keep the memory that a training step frees: a student alone, and beside a live teacher.

    python benchmarks/allocator.py

Fresh processes in turns, medians over the rounds. `engine.memory.keep_freed_memory` is what training does.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import msgspec

from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "allocator.json"
VARIANTS = ("given back", "kept")
STEPS = """
import json, resource, sys, time
import torch
from edgedistill.distill.engine.memory import keep_freed_memory
from edgedistill.distill.models import build_model
if sys.argv[1] == "kept":
    assert keep_freed_memory()
student = build_model("shufflenetv2", 20, width=0.5)
teacher = build_model("timm/resnet18", 20).eval()
images = torch.randint(0, 256, (32, 128, 128, 3), dtype=torch.uint8)
optimizer = torch.optim.Adam(student.parameters(), fused=True)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step(live):
    if live:
        with torch.no_grad():
            teacher(teacher.normalize(images))
    before, started = faults(), time.perf_counter()
    optimizer.zero_grad()
    student(student.normalize(images)).logits.square().mean().backward()
    optimizer.step()
    return time.perf_counter() - started, faults() - before
found = {}
for name, live in (("alone", False), ("beside a live teacher", True)):
    steps = [step(live) for _ in range(int(sys.argv[2]))][3:]
    found[name] = {"ms": [1000 * seconds for seconds, _ in steps], "faults": [count for _, count in steps]}
found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(found))
"""


def measure(variant: str, steps: int) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, variant, str(steps)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    runs: dict[str, list[dict]] = {variant: [] for variant in VARIANTS}
    for _ in range(arguments.rounds):
        for variant in VARIANTS:
            runs[variant].append(measure(variant, arguments.steps))
    table = {
        variant: {
            situation: {
                key: statistics.median(statistics.median(one[situation][key]) for one in found)
                for key in ("ms", "faults")
            }
            for situation in ("alone", "beside a live teacher")
        }
        | {"peak_mb": statistics.median(one["peak_mb"] for one in found)}
        for variant, found in runs.items()
    }
    for variant, row in table.items():
        alone, live = row["alone"], row["beside a live teacher"]
        print(
            f"{variant:12} student's step alone {alone['ms']:6.1f} ms, {alone['faults']:6.0f} page faults; beside a "
            f"live teacher {live['ms']:6.1f} ms, {live['faults']:6.0f} ({live['ms'] / alone['ms']:.2f} times); peak "
            f"{row['peak_mb']:.0f} MB"
        )
    summary = {
        "what": "a step of ShuffleNetV2 x0.5 at 128 px, batch 32, alone and after a forward pass of ResNet-18",
        "command": f"python benchmarks/allocator.py --rounds {arguments.rounds} --steps {arguments.steps}",
        "medians": table,
        "device": msgspec.to_builtins(describe_device()),
    }
    write_atomic(arguments.out, json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
