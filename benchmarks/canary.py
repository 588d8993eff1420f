"""Does `bench` know whether the machine was quiet? Runs in turns, alone and beside busy processes.

    python benchmarks/canary.py [--runs 20] [--busy 2] [--out benchmarks/results/canary.json]
    python benchmarks/canary.py --replay

The aim: "disturbed" in at least 19 of 20 runs beside two busy processes, and in at most 1 of 20 on an idle machine. The
machine must be idle otherwise. Every run is appended to the record, so that an interrupted call goes on where it was;
delete the record to begin anew. `--replay` measures nothing: it judges the recorded evidence by the thresholds that
stand in runtime/bench/disturbance.py now, and lists how near the evidence came to them.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from edgedistill.runtime.bench.disturbance import THRESHOLDS, disturbance, judge_turns, worst
from edgedistill.runtime.bench.running import benchmark
from edgedistill.runtime.bench.turn import Turn
from edgedistill.runtime.bundle import SCHEMA_VERSION, Artifact, Manifest, Provenance, describe_file
from edgedistill.runtime.device import Device, describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.preprocess import Preprocessing
from edgedistill.runtime.record import Record
from edgedistill.runtime.targets import Target
from edgedistill.runtime.tensors import TensorSpec

RESULTS = Path(__file__).parent / "results" / "canary.json"
SITUATIONS = ("quiet", "busy")
REST_SECONDS = 1.0
SIZE, CHANNELS, CLASSES = 64, (3, 32, 64, 96, 128), 10


class Run(Record):
    """One run of `bench`.

    Attributes:
        situation: "quiet" or "busy".
        busy: how many busy processes were beside it.
        other_session: whether those are of another session than it.
        wall_seconds: that it took.
        said_disturbed: what it said, by the thresholds of that time.
        load: load average over one minute before and after.
        rounds: planned.
        queries: planned, per artifact.
        turns: every turn's evidence and times, by artifact.
    """

    situation: str
    busy: int
    other_session: bool
    wall_seconds: float
    said_disturbed: bool
    load: tuple[float, ...]
    rounds: int
    queries: int
    turns: dict[str, tuple[Turn, ...]]


class Canary(Record):
    """The record."""

    what: str
    command: str
    device: Device
    preset: str
    busy: int
    runs: tuple[Run, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="of each situation")
    parser.add_argument("--busy", type=int, default=2, help="busy processes beside a busy run")
    parser.add_argument("--preset", default="demo", help="the shortest has the least to see a disturbance by")
    parser.add_argument("--replay", action="store_true", help="judge the record by the present thresholds")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if not arguments.replay:
        measure(arguments)
    summarise(msgspec.json.decode(arguments.out.read_bytes(), type=Canary))


def measure(arguments: argparse.Namespace) -> None:
    """Run what the record lacks, quiet and busy in turns."""
    record = Canary(
        what="whether `bench` says that it was disturbed, on an idle machine and beside busy processes",
        command=f"python benchmarks/canary.py --runs {arguments.runs} --busy {arguments.busy}",
        device=describe_device(),
        preset=arguments.preset,
        busy=arguments.busy,
    )
    if arguments.out.is_file():
        record = msgspec.json.decode(arguments.out.read_bytes(), type=Canary)
        if (record.preset, record.busy) != (arguments.preset, arguments.busy):
            sys.exit(f"{arguments.out}: made with --preset {record.preset} --busy {record.busy}; delete it, or say so.")
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder) / "bundle")
        for number in range(1, arguments.runs + 1):
            for situation in SITUATIONS:
                if sum(run.situation == situation for run in record.runs) >= number:
                    continue
                run = measure_once(bundle, situation, number, arguments)
                record = msgspec.structs.replace(record, runs=(*record.runs, run))
                write_atomic(arguments.out, msgspec.json.encode(record) + b"\n")
                said = "disturbed" if run.said_disturbed else "quiet"
                print(f"run {number} of {arguments.runs}, {situation}: {said} ({run.wall_seconds:.1f} s)", flush=True)


def measure_once(bundle: Path, situation: str, number: int, arguments: argparse.Namespace) -> Run:
    count = arguments.busy if situation == "busy" else 0
    other_session = bool(count) and number % 2 == 0
    time.sleep(REST_SECONDS)
    begun = time.perf_counter()
    with busy_processes(count, other_session):
        report = benchmark(bundle, preset=arguments.preset)
    seconds = round(time.perf_counter() - begun, 2)
    return Run(
        situation=situation,
        busy=count,
        other_session=other_session,
        wall_seconds=seconds,
        said_disturbed=report.disturbed,
        load=(*report.load_start[:1], *report.load_end[:1]),
        rounds=report.plan.rounds,
        queries=report.plan.queries,
        turns={artifact.name: artifact.turns for artifact in report.artifacts},
    )


@contextmanager
def busy_processes(count: int, other_session: bool) -> Iterator[None]:
    """Processes that compute without a pause. Linux shares the cores between sessions first, then within one."""
    loop = [sys.executable, "-c", "while True: pass"]
    started = [subprocess.Popen(loop, start_new_session=other_session) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def summarise(record: Canary) -> None:
    """How often each situation is called disturbed by the present thresholds, and the evidence of its turns."""
    for situation in SITUATIONS:
        runs = [run for run in record.runs if run.situation == situation]
        print(f"{situation}: disturbed in {sum(map(is_disturbed, runs))} of {len(runs)} runs;", end=" ")
        print(f"by the times alone, without the system's counters, in {sum(map(is_disturbed, map(blind, runs)))}")
        turns = [turn for run in runs for made in run.turns.values() for turn in judge_turns(made)]
        if not turns:
            continue
        count = sum(not turn.quiet for turn in turns)
        print(f"  {count} of {len(turns)} turns disturbed; by what, at most: {worst(turns)}")
        print(f"  {'evidence':10}{'threshold':>10}{'least':>10}{'median':>10}{'95 %':>10}{'most':>10}")
        for name, values in evidence_of(runs).items():
            known = [value for value in values if value is not None]
            if known:
                least, middle, high, most = np.quantile(known, [0.0, 0.5, 0.95, 1.0])
                limit = getattr(THRESHOLDS, name)
                print(f"  {name:10}{limit:10.3g}{least:10.3g}{middle:10.3g}{high:10.3g}{most:10.3g}")


def is_disturbed(run: Run) -> bool:
    return any(disturbance(judge_turns(turns), run.rounds, run.queries) for turns in run.turns.values())


def blind(run: Run) -> Run:
    """The same run as a system without /proc would have seen it."""
    unseen = {"steal": None, "others": None, "switches": None, "waited": None}
    turns = {
        name: tuple(
            msgspec.structs.replace(turn, evidence=msgspec.structs.replace(turn.evidence, **unseen)) for turn in made
        )
        for name, made in run.turns.items()
    }
    return msgspec.structs.replace(run, turns=turns)


def evidence_of(runs: list[Run]) -> dict[str, list[float | None]]:
    """Every turn's value of each kind of evidence, as the thresholds are put to it."""
    found: dict[str, list[float | None]] = {}
    for turns in (turns for run in runs for turns in run.turns.values()):
        canary = min(turn.evidence.canary_floor_ms for turn in turns)
        p50, p90 = min(turn.p50_ms for turn in turns), min(turn.p90_ms for turn in turns)
        for turn in turns:
            seen = turn.evidence
            values = {
                "others": seen.others, "steal": seen.steal, "waited": seen.waited, "switches": seen.switches,
                "canary": seen.canary_ms / canary, "p50": turn.p50_ms / p50, "p90": turn.p90_ms / p90,
                "tail": turn.p90_ms / turn.p50_ms,
            }  # fmt: skip
            for name, value in values.items():
                found.setdefault(name, []).append(value)
    return found


def write_bundle(root: Path) -> Path:
    """A small convnet of random weights (some milliseconds), to be run on one thread and on the backend's choice."""
    path = root / "onnx" / "model.fp32.onnx"
    path.parent.mkdir(parents=True)
    write_onnx(path)
    artifacts = tuple(
        Artifact(
            name=name,
            target=Target(name=name, backend="onnxruntime", precision="fp32", threads=threads),
            files=(describe_file(path, root),),
            status="verified",
        )
        for name, threads in (("one-thread", 1), ("all-threads", None))
    )
    outputs = tuple(
        TensorSpec(name=name, dtype="float32", shape=("batch", CLASSES)) for name in ("logits", "probabilities")
    )
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name="canary",
        classes=tuple(f"class{number}" for number in range(CLASSES)),
        preprocessing=Preprocessing(size=(SIZE, SIZE), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        input="float32_nchw",
        inputs=(TensorSpec(name="image", dtype="float32", shape=("batch", 3, SIZE, SIZE)),),
        outputs=outputs,
        thresholds=(0.5,) * CLASSES,
        provenance=Provenance(edgedistill="0", created="", model="random", checkpoint_sha256="0" * 64),
        artifacts=artifacts,
    )
    (root / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return root


def write_onnx(path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    random = np.random.default_rng(0)
    nodes, weights, last = [], [], "image"
    for depth, (before, after) in enumerate(pairwise(CHANNELS)):
        weight = random.standard_normal((after, before, 3, 3), dtype=np.float32) / np.float32(np.sqrt(9 * before))
        weights.append(numpy_helper.from_array(weight, f"weight{depth}"))
        stride = 1 if depth == 1 else 2
        nodes += [
            helper.make_node("Conv", [last, f"weight{depth}"], [f"map{depth}"], pads=[1] * 4, strides=[stride] * 2),
            helper.make_node("Relu", [f"map{depth}"], [f"active{depth}"]),
        ]
        last = f"active{depth}"
    head = random.standard_normal((CHANNELS[-1], CLASSES), dtype=np.float32)
    weights.append(numpy_helper.from_array(head, "head"))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", CLASSES])
        for name in ("logits", "probabilities")
    ]
    graph = helper.make_graph(nodes, "canary", [image], outputs, weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


if __name__ == "__main__":
    main()
