"""Do networks of all families export? Each of networks.txt in fp32 and int8, from random weights, at 96 px.

    python benchmarks/networks.py [NAME ...]
    python benchmarks/networks.py --table

One child process per network, so that a crash is that network's line; a network that is in the record is not run again
unless it is named. Networks that take one size only are given that. int8 is calibrated on noise and judged by what it
does to the logits of other noise: random weights have no accuracy. Writes benchmarks/results/networks.json after each.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from network_trial import FLOAT, INT8, Outcome, Trial, try_network

from edgedistill.export.errors import one_line
from edgedistill.runtime.device import Device, describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.record import Record

LIST = Path(__file__).with_suffix(".txt")
RESULTS = Path(__file__).parent / "results" / "networks.json"
LONGEST_S = 1800


class Results(Record):
    """The record, in the order of networks.txt."""

    device: Device
    trials: tuple[Trial, ...] = ()


def listed() -> list[str]:
    """The names in networks.txt."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of networks; all that are not in the record by default")
    parser.add_argument("--table", action="store_true", help="print the record's table and run nothing")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        write_atomic(arguments.child, msgspec.json.encode(try_network(arguments.names[0])))
        return
    if not arguments.table:
        run(arguments.names)
    print(markdown(read()))


def read() -> Results:
    if RESULTS.exists():
        return msgspec.json.decode(RESULTS.read_bytes(), type=Results)
    return Results(device=describe_device())


def run(names: Sequence[str]) -> None:
    done = {trial.name: trial for trial in read().trials}
    waiting = list(names) or [name for name in listed() if name not in done]
    for number, name in enumerate(waiting, 1):
        print(f"{number}/{len(waiting)} {name}", end=" ", flush=True)
        done[name] = in_child(name)
        print(one_line(_said(done[name])), flush=True)
        order = {known: place for place, known in enumerate(listed())}
        trials = sorted(done.values(), key=lambda trial: order.get(trial.name, len(order)))
        results = Results(device=describe_device(), trials=tuple(trials))
        write_atomic(RESULTS, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def in_child(name: str) -> Trial:
    """A network tried in a process of its own."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "trial.json"
        command = [sys.executable, str(Path(__file__).resolve()), name, "--child", str(answer)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
        except subprocess.TimeoutExpired:
            return Trial(name=name, refused=f"not ready after {LONGEST_S} s", seconds=LONGEST_S)
        if answer.exists():
            return msgspec.json.decode(answer.read_bytes(), type=Trial)
        words = one_line(ended.stderr) if ended.stderr.strip() else "without a word"
        seconds = round(time.perf_counter() - begun, 1)
        return Trial(name=name, refused=f"its process ended with status {ended.returncode}: {words}", seconds=seconds)


def markdown(results: Results) -> str:
    """The record as a table, and how many of its networks are as they should be."""
    rows = ["| network | px | fp32: ONNX Runtime | OpenVINO | int8 | convolutions in int8 | SNR, dB | of 1 % noise |"]
    rows.append("|---|---:|---|---|---|---:|---:|---:|")
    for trial in results.trials:
        if not trial.outcomes:
            rows.append(f"| {trial.name} | | {trial.refused} | | | | | |")
            continue
        by_name = {outcome.target: outcome for outcome in trial.outcomes}
        int8 = by_name[INT8]
        covered = f"{int8.coverage.int8} of {int8.coverage.convolutions}" if int8.coverage else ""
        snr = "" if int8.snr_db is None else f"{int8.snr_db:.0f}"
        cells = [trial.name, str(trial.size[0] if trial.size else ""), *(_cell(by_name[name]) for name in FLOAT)]
        rows.append(f"| {' | '.join(cells)} | {_cell(int8)} | {covered} | {snr} | {trial.snr_of_noise_db:.0f} |")
    return "\n".join(rows)


def _cell(outcome: Outcome) -> str:
    if outcome.status != "verified":
        return f"{outcome.status}: {outcome.reason}"
    return "verified" if outcome.target == INT8 else f"{outcome.max_abs_logit:.0e}"


def _said(trial: Trial) -> str:
    told = "; ".join(f"{outcome.target} {_cell(outcome)}" for outcome in trial.outcomes)
    return f"{trial.seconds:.0f} s: {trial.refused or told}"


if __name__ == "__main__":
    main()
