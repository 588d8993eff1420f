"""50,000 predictions in one process with faults among them: is anything lost, and does memory grow?

    python benchmarks/endurance.py [--predictions 50000] [--parts predictions,bulk,disk,worker,server] [--save [FILE]]

Each part injects a fault and counts: an answer that is missing, or not that of an undisturbed predictor, is lost.
Memory is what the system says is resident after each hundredth of the work, when what is free was given back; its
growth a prediction, over the second half, has an interval.
The model is the tests' golden bundle, so that the work is ours and not the network's.

The exit code is 1 where anything is lost or memory grows.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from endurance_memory import Growth
from endurance_part import Part
from endurance_predictions import predictions
from endurance_processes import bulk, full_disk, killed_worker, server

from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "endurance.json"
# By name: given a bundle, an empty folder, the number of predictions, and the bytes to lose at each of them.
PARTS: dict[str, Callable[[Path, Path, int, int], Part]] = {
    "predictions": predictions,
    "bulk": bulk,
    "disk": full_disk,
    "worker": killed_worker,
    "server": server,
}
GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "bundle_schema_1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=50_000)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--bundle", type=Path, default=GOLDEN, help="with photographs of its own")
    parser.add_argument("--leak", type=int, default=0, help="bytes to lose on purpose at each prediction: a control")
    parser.add_argument(
        "--save",
        type=Path,
        nargs="?",
        const=RESULTS,
        help=f"write what these parts found into the record, {RESULTS.name}",
    )
    arguments = parser.parse_args()

    found: dict[str, Part] = {}
    for name in arguments.parts.split(","):
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="edgedistill-") as folder:
            found[name] = PARTS[name](arguments.bundle, Path(folder), arguments.predictions, arguments.leak)
        print(f"{name:12} {time.perf_counter() - begun:6.1f} s  {told(found[name])}", flush=True)
    if arguments.save is not None:
        write_atomic(arguments.save, json.dumps(updated(arguments.save, found, arguments.predictions), indent=1) + "\n")
    sys.exit(0 if all(part.sound for part in found.values()) else 1)


def updated(path: Path, found: dict[str, Part], predictions: int) -> dict:
    """The record at `path` with what these parts found; others stay, each with its own command and machine."""
    parts = json.loads(path.read_text(encoding="utf-8"))["parts"] if path.is_file() else {}
    about = {
        "command": f"python benchmarks/endurance.py --predictions {predictions} --parts {','.join(found)} --save",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": msgspec.to_builtins(describe_device()),
    }
    parts |= {name: about | msgspec.to_builtins(part) for name, part in found.items()}
    what = "predictions with faults among them: what was lost, and how resident memory grew"
    return {"what": what, "parts": {name: parts[name] for name in PARTS if name in parts}}


def told(part: Part) -> str:
    counts = ", ".join(f"{count:,} {what}" for what, count in part.counts.items())
    return f"{counts}; lost: {len(part.lost)}{f' ({part.lost[0]})' if part.lost else ''}{said(part.growth)}"


def said(growth: Growth | None) -> str:
    if growth is None:
        return ""
    verdict = "grows" if growth.leaks else "does not grow" if growth.steady else "cannot be told"
    return f"; memory {verdict}: {growth.mean:+.2f} bytes a prediction [{growth.low:+.2f}, {growth.high:+.2f}]"


if __name__ == "__main__":
    main()
