"""How long OpenMP's threads should spin before they sleep: a training step alone, and beside busy processes.

    python benchmarks/openmp_spin.py

Fresh processes in turns, medians over the rounds. edgedistill sets GOMP_SPINCOUNT=3000 (distill/__init__.py).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import msgspec

from edgedistill.runtime.device import describe_device, usable_cores
from edgedistill.runtime.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "openmp_spin.json"
VARIANTS = {"libgomp's default": None, "GOMP_SPINCOUNT=3000": ("GOMP_SPINCOUNT", "3000"),
            "OMP_WAIT_POLICY=PASSIVE": ("OMP_WAIT_POLICY", "PASSIVE")}  # fmt: skip
STEP = """
import sys, time
import torch
from edgedistill.distill.models import build_model
model = build_model("shufflenetv2", 20, width=0.5, stem="small")
images = torch.randint(0, 256, (32, 64, 64, 3), dtype=torch.uint8)
optimizer = torch.optim.Adam(model.parameters(), fused=True)
def step():
    optimizer.zero_grad()
    model(model.normalize(images)).logits.square().mean().backward()
    optimizer.step()
step()
started, steps = time.perf_counter(), 0
while time.perf_counter() - started < float(sys.argv[1]):
    step()
    steps += 1
print(32 * steps / (time.perf_counter() - started))
"""


def images_per_second(variant: tuple[str, str] | None, seconds: float) -> float:
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment |= dict([variant]) if variant else {}
    # torch is imported first, so that edgedistill's own setting comes too late to count.
    done = subprocess.run(
        [sys.executable, "-c", STEP, str(seconds)], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rates: dict[str, dict[str, list[float]]] = {}
    # Linux shares the cores between sessions first: other people's work, or another terminal's, is another session.
    situations = (
        ("alone", 0, False),
        ("busy, same session", usable_cores(), False),
        ("busy, others'", usable_cores(), True),
    )
    for situation, others, apart in situations:
        loop = [sys.executable, "-c", "while True: pass"]
        busy = [subprocess.Popen(loop, start_new_session=apart) for _ in range(others)]
        try:
            found = rates[situation] = {name: [] for name in VARIANTS}
            for _ in range(arguments.rounds):
                for name, variant in VARIANTS.items():
                    found[name].append(images_per_second(variant, arguments.seconds))
        finally:
            for process in busy:
                process.kill()
    print(f"{'training images/s, medians':28}" + "".join(f"{situation:>22}" for situation in rates))
    for name in VARIANTS:
        print(f"{name:28}" + "".join(f"{statistics.median(found[name]):>22.0f}" for found in rates.values()))
    summary = {
        "what": "images per second of a ShuffleNetV2 x0.5 training step at 64 px, batch 32",
        "command": f"python benchmarks/openmp_spin.py --rounds {arguments.rounds} --seconds {arguments.seconds:g}",
        "busy_processes": usable_cores(),
        "rates": rates,
        "device": msgspec.to_builtins(describe_device()),
    }
    write_atomic(arguments.out, json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
