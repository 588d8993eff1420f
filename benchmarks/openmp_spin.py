"""How OpenMP's threads should wait, and where: a training step alone, beside busy processes, beside another training.

    python benchmarks/openmp_spin.py       # a quarter of an hour on two cores; --variant and --rounds shorten it

Fresh processes in turns, medians over the rounds. edgedistill sets GOMP_SPINCOUNT=3000 (distill/__init__.py) and keeps
each thread on a core of its own (distill/cores.py). Two trainings side by side have half of the machine each: "of its
share" is the slower one's images per second by half of what the same setting reaches alone.
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
ALONE, TRAINING = "alone", "another training"
BOUND = "MEASURE_BOUND_THREADS"
VARIANTS = {
    "libgomp's default": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "GOMP_SPINCOUNT=3000": {"GOMP_SPINCOUNT": "3000"},
    "the same, bound to cores": {"GOMP_SPINCOUNT": "3000", BOUND: "1"},
}
# However this script ends (a terminal closed, SIGTERM), it leaves nobody busy.
BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000): pass
"""
STEP = f"""
import os, sys, time
# A setting of edgedistill's own would come too late or too early: the variant says all.
spin = os.environ.get("GOMP_SPINCOUNT")
from edgedistill.distill.cores import bind_threads, on_its_core
if spin is None:
    del os.environ["GOMP_SPINCOUNT"]
if "{BOUND}" in os.environ and not bind_threads():
    sys.exit("threads cannot be bound here")
import torch
from edgedistill.distill.models import build_model
model = build_model("shufflenetv2", 20, width=0.5, stem="small")
images = torch.randint(0, 256, (32, 64, 64, 3), dtype=torch.uint8)
optimizer = torch.optim.Adam(model.parameters(), fused=True)
@on_its_core()
def step():
    optimizer.zero_grad()
    model(model.normalize(images)).logits.square().mean().backward()
    optimizer.step()
step()
print("ready", flush=True)
sys.stdin.readline()  # until the other is ready too
started, steps = time.perf_counter(), 0
while time.perf_counter() - started < float(sys.argv[1]):
    step()
    steps += 1
print(32 * steps / (time.perf_counter() - started), flush=True)
sys.stdin.readline()  # and stays until the other has ended
"""


def images_per_second(variant: dict[str, str], seconds: float, trainings: int) -> list[float]:
    """Of so many trainings that begin together."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    command = [sys.executable, "-c", STEP, str(seconds)]
    processes = [
        subprocess.Popen(
            command,
            env=environment | variant,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for _ in range(trainings)
    ]
    found = []
    for expected in ("ready\n", None, ""):
        for process in processes:
            assert process.stdin is not None
            assert process.stdout is not None
            line = process.stdout.readline()
            if expected is None:
                found.append(float(line))
            elif line != expected:
                sys.exit(f"a training ended before its time: exit code {process.wait()}")
        for process in processes if expected != "" else ():
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
    for process in processes:
        process.communicate()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="only this one; may be repeated")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    variants = {name: VARIANTS[name] for name in arguments.variant or VARIANTS}
    # Linux shares the cores between sessions first: other people's work, or another terminal's, is another session.
    situations = (
        (ALONE, 0, False),
        (TRAINING, 0, False),
        ("busy, same session", usable_cores(), False),
        ("busy, others'", usable_cores(), True),
    )
    rates: dict[str, dict[str, list[float]]] = {
        situation: {name: [] for name in variants} for situation, *_ in situations
    }
    for _ in range(arguments.rounds):
        for situation, others, apart in situations:
            busy = [subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=apart) for _ in range(others)]
            try:
                for name, variant in variants.items():
                    trainings = 2 if situation == TRAINING else 1
                    rates[situation][name].append(min(images_per_second(variant, arguments.seconds, trainings)))
            finally:
                for process in busy:
                    process.kill()
    print(f"{'training images/s, medians':28}" + "".join(f"{situation:>22}" for situation in (*rates, "of its share")))
    shares = {}
    for name in variants:
        medians = {situation: statistics.median(found[name]) for situation, found in rates.items()}
        shares[name] = medians[TRAINING] / (medians[ALONE] / 2)
        cells = "".join(f"{value:>22.0f}" for value in medians.values())
        print(f"{name:28}{cells}{shares[name]:>21.0%}")
    summary = {
        "what": "images per second of a ShuffleNetV2 x0.5 training step at 64 px, batch 32",
        "command": f"python benchmarks/openmp_spin.py --rounds {arguments.rounds} --seconds {arguments.seconds:g}",
        "busy_processes": usable_cores(),
        "of_its_share_beside_another_training": shares,
        "rates": rates,
        "device": msgspec.to_builtins(describe_device()),
    }
    write_atomic(arguments.out, json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
