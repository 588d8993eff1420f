"""Does anything that a stranger hands us crash, hang, print a traceback, or change an answer without a word?

    python benchmarks/fuzz.py [--cases 12000] [--family manifest] [--seconds 20]

Manifests, archives, listed files with corrected hashes, tampered bundles, model files (ONNX, ORT, OpenVINO, LiteRT),
images, and CSV, JSON, XML and YAML files are spoiled, each case a pure function of its family and number. Each runs in
a child process with a time limit. A case is sound when it ends in an answer or in one line that names what is wrong;
and, for a bundle, when every artifact whose self-test passes gives the untampered bundle's scores. Prints a table,
writes results/fuzz.json, exits with 1 when any case is unsound. One case again: python benchmarks/fuzz_cases.py FAMILY
NUMBER.
"""

import argparse
import contextlib
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import msgspec
from fuzz_cases import BUNDLES, FAMILIES, GOLDEN, Answers, ask_bundle, differs

from edgedistill.runtime.device import describe_device, usable_cores
from edgedistill.runtime.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "fuzz.json"
_SHARES = {"manifest": 4, "archive": 3, "model": 4, "tampered": 1, "loose": 2, "image": 5, "data": 5}
_LONGEST_DETAIL = 8000
_SOUND = ("answered", "one line")


def run_case(family: str, number: int, untampered: Answers, seconds: float) -> tuple[str, str]:
    """The outcome and its detail, from a child process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(family, number, untampered, writer)
    os.close(writer)
    data, ends = b"", time.monotonic() + seconds
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, ends - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reader)
            return "hang", f"no end within {seconds:g} s"
        part = os.read(reader, 1 << 16)
        if not part:
            break
        data += part
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "crash", f"signal {os.WTERMSIG(status)}"
    outcome, _, detail = data.decode(errors="replace").partition("\n")
    return outcome or "crash", detail or f"exit {os.WEXITSTATUS(status)} without an answer"


def _child(family: str, number: int, untampered: Answers, writer: int) -> None:
    """Run the case, write its outcome, and end without the parent's clean-up."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        with tempfile.TemporaryDirectory() as folder:
            answers = FAMILIES[family](Path(folder), random.Random(f"{family} {number}"))
        other = differs(answers, untampered) if family in BUNDLES else ""
        new = answers.get("said", {}).keys() - (untampered.get("said", {}).keys() if family in BUNDLES else ())
        outcome = "other answer" if other else "one line" if new else "answered"
        text = f"{outcome}\n{other}"
    except BaseException:
        text = f"traceback\n{traceback.format_exc()}"
    with contextlib.suppress(OSError):
        os.write(writer, (text[:20] + text[20:][-_LONGEST_DETAIL:]).encode(errors="replace"))
    os._exit(0)


def run_share(cases: list[tuple[str, int]], untampered: Answers, seconds: float, out: Path, *, show: bool) -> None:
    """Run cases one after the other, and write what was found."""
    counts: Counter[str] = Counter()
    unsound, started = [], time.monotonic()
    for done, (family, number) in enumerate(cases, 1):
        outcome, detail = run_case(family, number, untampered, seconds)
        counts[f"{family}/{outcome}"] += 1
        if outcome not in _SOUND:
            unsound.append({"family": family, "number": number, "outcome": outcome, "detail": detail.strip()})
        if show and sys.stderr.isatty():
            left = (time.monotonic() - started) / done * (len(cases) - done)
            print(f"\r{done}/{len(cases)}, {len(unsound)} unsound, {left:.0f} s left ", end="", file=sys.stderr)
    out.write_text(json.dumps({"counts": counts, "unsound": unsound}))


def planned(total: int, family: str | None) -> list[tuple[str, int]]:
    """(family, number) of every case."""
    if family is not None:
        return [(family, number) for number in range(total)]
    whole = sum(_SHARES.values())
    return [(name, number) for name, share in _SHARES.items() for number in range(-(-total * share // whole))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12_000)
    parser.add_argument("--family", choices=FAMILIES)
    parser.add_argument("--seconds", type=float, default=20.0, help="time limit of a case")
    parser.add_argument("--jobs", type=int, default=usable_cores())
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    import onnxruntime  # noqa: F401  before the forks: a case then costs milliseconds
    import openvino  # noqa: F401

    with contextlib.suppress(ImportError):  # without it a case ends in the line that says so
        import ai_edge_litert.interpreter  # noqa: F401

    cases = planned(given.cases, given.family)
    random.Random(0).shuffle(cases)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        untampered = _in_child(lambda: ask_bundle(GOLDEN), Path(scratch) / "untampered.json")
        if set(untampered["verdicts"].values()) - {"could not run"} != {"passed"}:
            sys.exit(f"the golden bundle itself is not sound here: {untampered}")
        parts = [Path(scratch) / f"{job}.json" for job in range(given.jobs)]
        children = []
        for job, part in enumerate(parts):
            child = os.fork()
            if child == 0:
                run_share(cases[job :: given.jobs], untampered, given.seconds, part, show=job == 0)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        found = [json.loads(part.read_text()) for part in parts]
    counts = sum((Counter(part["counts"]) for part in found), Counter())
    unsound = [case for part in found for case in part["unsound"]]
    record = {
        "cases": len(cases),
        "seconds_per_case": given.seconds,
        "outcomes": dict(sorted(counts.items())),
        "unsound": [
            _in_short(case) for case in sorted(unsound, key=lambda case: (case["family"], case["number"]))[:50]
        ],
        "wall_s": round(time.monotonic() - started, 1),
        "device": msgspec.to_builtins(describe_device()),
    }
    write_atomic(given.out, json.dumps(record, indent=2) + "\n")
    _print(counts, unsound, len(cases))
    sys.exit(bool(unsound))


def _in_short(case: dict) -> dict:
    """For the record: the last line says what happened; the lines above name this machine's folders."""
    last = (case["detail"].splitlines() or [""])[-1]
    return {**case, "detail": last[:200]}


def _in_child(question, path: Path) -> Answers:
    """Ask in a child, so that this process starts no thread before it forks."""
    if (child := os.fork()) == 0:
        path.write_text(json.dumps(question()))
        os._exit(0)
    os.waitpid(child, 0)
    return json.loads(path.read_text())


def _print(counts: Counter, unsound: list[dict], total: int) -> None:
    outcomes = sorted({key.partition("/")[2] for key in counts}, key=lambda word: (word not in _SOUND, word))
    print(f"\n{'family':10}" + "".join(f"{outcome:>14}" for outcome in outcomes))
    for family in FAMILIES:
        if any(key.startswith(f"{family}/") for key in counts):
            print(f"{family:10}" + "".join(f"{counts[f'{family}/{outcome}']:>14}" for outcome in outcomes))
    for case in unsound[:10]:
        print(f"\n{case['family']} {case['number']}: {case['outcome']}\n{case['detail'][-700:]}")
    print(f"\n{total} cases, {len(unsound)} unsound")


if __name__ == "__main__":
    main()
