"""What `import edgedistill.runtime` costs beside the libraries that it stands on, and what the first use adds.

    python benchmarks/import_time.py [--runs 15] [--out benchmarks/results/import_time.json]

Fresh interpreters in turns (A, B, C, A, B, C, ...), so that a busy moment of the machine hits all alike; medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from edgedistill.runtime.device import describe_device

VARIANTS = {
    "numpy + PIL.Image + msgspec": "import numpy, PIL.Image, msgspec",
    "edgedistill.runtime": "import edgedistill.runtime",
    "edgedistill.runtime, load + predictor": "from edgedistill import runtime; runtime.load",
    "edgedistill.runtime, everything public": "from edgedistill.runtime import *",
}
BASE = next(iter(VARIANTS))


def import_ms(statement: str) -> float:
    """Milliseconds that a statement takes in a fresh interpreter, its start-up not counted."""
    code = f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1000)"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "import_time.json")
    arguments = parser.parse_args()

    device = describe_device()
    samples: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for statement in VARIANTS.values():
        import_ms(statement)  # fills the page cache and writes the .pyc files
    for _ in range(arguments.runs):
        for name, statement in VARIANTS.items():
            samples[name].append(import_ms(statement))

    medians = {name: statistics.median(values) for name, values in samples.items()}
    print(f"{'import':42s}{'median ms':>10s}{'ratio':>8s}")
    for name, median in medians.items():
        print(f"{name:42s}{median:10.1f}{median / medians[BASE]:8.2f}")

    result = {
        "command": f"python benchmarks/import_time.py --runs {arguments.runs}",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": msgspec.to_builtins(device),
        "median_ms": medians,
        "ratio": {name: median / medians[BASE] for name, median in medians.items()},
        "samples_ms": samples,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
