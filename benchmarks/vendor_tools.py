"""Does `bench` measure what the vendors' own tools measure? Same files, same settings, in alternating runs.

    python benchmarks/vendor_tools.py [--rounds 5] [--seconds 2] [--save]
    python benchmarks/vendor_tools.py --of BUNDLE --of model.tflite [--threads 2]

The aim: the median of our runs within 5 % of the median of theirs. Each run is a process of its own; ours and theirs
alternate, and who begins changes from round to round. The tools:

* OpenVINO: `benchmark_app` of the openvino wheel, one stream, sync, fp32 pinned as ours is.
* LiteRT: `litert-benchmark` of the ai-edge-litert wheel (Google's benchmark_model needs a build of TensorFlow). It runs
  the CompiledModel interface, ours the Interpreter, both with XNNPACK.
* ONNX Runtime: its wheels ship no onnxruntime_perf_test, so that its profiler is what speaks: the duration of the
  events `model_run` of a plain session with our settings. It writes an event per operator too; what that takes is
  measured in the same process, as what a call takes with the profiler and without, and taken off.

The default network is MobileNetV2 with random weights at 224 pixels (half a minute of export; LiteRT's file takes
`edgedistill toolchain install litert`, and is left out with the reason without). Four minutes in all on two cores.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgedistill.runtime.bench.running import benchmark
from edgedistill.runtime.bundle import Artifact, Bundle
from edgedistill.runtime.bundle.loose import open_source
from edgedistill.runtime.device import Device, describe_device, usable_cores
from edgedistill.runtime.errors import EdgedistillError
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.preprocess import Preprocessing
from edgedistill.runtime.record import Record

RESULTS = Path(__file__).parent / "results" / "vendor_tools.json"
WITHIN = 0.05
TARGETS = ("onnxruntime-cpu-fp32", "openvino-cpu-fp32", "litert-cpu-fp32")
NETWORK, SIZE = "mobilenet_v2", 224
_PROFILE = """
import json, statistics, sys, time
import numpy as np
import onnxruntime
path, prefix, threads, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])

def session(profiled):
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.enable_profiling, settings.profile_file_prefix = profiled, prefix
    return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])

def timed(session, seconds):
    (image,) = session.get_inputs()
    shape = [side if isinstance(side, int) else 1 for side in image.shape]
    feeds = {image.name: np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8, endpoint=True)}
    outputs = [output.name for output in session.get_outputs()]
    begun, found = time.perf_counter(), []
    while time.perf_counter() - begun < seconds + 0.5:
        before = time.perf_counter()
        session.run(outputs, feeds)
        if before - begun > 0.5:  # settled
            found.append(1e6 * (time.perf_counter() - before))
    return found

plain = timed(session(False), seconds)
profiled_session = session(True)
profiled = timed(profiled_session, seconds)
events = [event for event in json.load(open(profiled_session.end_profiling())) if event["name"] == "model_run"]
said = statistics.median(event["dur"] for event in events[-len(profiled):])
print(json.dumps(said - (statistics.median(profiled) - statistics.median(plain))))
"""


class Agreement(Record):
    """One artifact.

    Attributes:
        tool: whose time it is held against, with its version.
        command: how it was called.
        ours_ms: p50 of each of our runs.
        theirs_ms: median of each of theirs, as the tool says it.
        ratio: median of ours over median of theirs.
        within: it is within 5 % of one.
        disturbed: how many of our runs said that the machine was disturbed.
    """

    artifact: str
    tool: str
    command: str
    ours_ms: tuple[float, ...]
    theirs_ms: tuple[float, ...]
    ratio: float
    within: bool
    disturbed: int


class VendorTools(Record):
    """The record."""

    what: str
    command: str
    network: str
    threads: int
    device: Device
    agreements: tuple[Agreement, ...]
    left_out: dict[str, str]


class Call(NamedTuple):
    """What a vendor's tool is asked: the model, and how it is run; `shapes` of its inputs, where they are known."""

    path: Path
    threads: int
    seconds: float
    shapes: str
    scratch: Path


Tool = Callable[[Call], tuple[float, list[str]]]  # milliseconds, and the command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", type=Path, action="append", help="a bundle or model file of your own; repeat")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="that a vendor's tool measures in a run")
    parser.add_argument("--preset", default="demo", help="of our runs")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        sources = [open_source(path) for path in arguments.of or [export_network(scratch / "bundle")]]
        agreements, left_out = [], {}
        for bundle, artifact in ((source, one) for source in sources for one in source.manifest.artifacts):
            if artifact.backend not in TOOLS or not artifact.files:
                left_out[artifact.name] = artifact.reason or "no tool of its vendor is called here"
                continue
            agreements.append(compare_tool(bundle, artifact, scratch, arguments))
            print_row(agreements[-1])
    for name, reason in left_out.items():
        print(f"{name}: left out: {reason}")
    record = VendorTools(
        what="the p50 of `edgedistill bench` beside the median of the vendor's own tool, in alternating runs",
        command=f"python benchmarks/vendor_tools.py --rounds {arguments.rounds} --seconds {arguments.seconds:g}",
        network=", ".join(dict.fromkeys(source.manifest.name for source in sources)),
        threads=arguments.threads,
        device=describe_device(),
        agreements=tuple(agreements),
        left_out=left_out,
    )
    if arguments.save:
        write_atomic(RESULTS, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    sys.exit(0 if agreements and all(one.within for one in agreements) else 1)


def compare_tool(bundle: Bundle, artifact: Artifact, scratch: Path, arguments: argparse.Namespace) -> Agreement:
    """Alternate between ours and the vendor's."""
    path = bundle.root if bundle.is_model_file else bundle.root / artifact.files[0].path
    shapes = ",".join(f"{spec.name}[{','.join(map(str, (1, *spec.shape[1:])))}]" for spec in bundle.manifest.inputs)
    given = Call(path, arguments.threads, arguments.seconds, shapes, scratch)
    ours: list[float] = []
    theirs: list[float] = []
    disturbed, command, version = 0, [], ""

    def measure_ours() -> None:
        nonlocal disturbed, version
        report = benchmark(bundle, artifacts=[artifact.name], preset=arguments.preset, threads=arguments.threads)
        (found,) = report.artifacts
        if found.p50_ms is None:
            raise EdgedistillError(f"{artifact.name}: {found.reason or 'has no p50'}")
        version = found.effective["library"]
        disturbed += bool(found.disturbed)
        ours.append(round(found.p50_ms, 4))

    def measure_theirs() -> None:
        nonlocal command
        value, command = TOOLS[artifact.backend](given)
        theirs.append(round(value, 4))

    for number in range(arguments.rounds):
        for measure in (measure_ours, measure_theirs) if number % 2 == 0 else (measure_theirs, measure_ours):
            measure()
    ratio = statistics.median(ours) / statistics.median(theirs)
    return Agreement(
        artifact=artifact.name,
        tool=f"{Path(command[0]).name if command[0] != sys.executable else 'profiler'}, {version}",
        command=" ".join(Path(part).name if "/" in part else part for part in command if part != _PROFILE),
        ours_ms=tuple(ours),
        theirs_ms=tuple(theirs),
        ratio=round(ratio, 4),
        within=abs(ratio - 1) <= WITHIN,
        disturbed=disturbed,
    )


def benchmark_app(call: Call) -> tuple[float, list[str]]:
    """OpenVINO's. It takes whole seconds, and wants to be told the batch where the graph leaves it open."""
    command = [
        _beside_python("benchmark_app"), "-m", str(call.path), "-d", "CPU", "-hint", "none", "-nstreams", "1",
        "-api", "sync", "-nthreads", str(call.threads), "-infer_precision", "f32",
        "-t", str(max(1, round(call.seconds))), *(["-data_shape", call.shapes] if call.shapes else []),
    ]  # fmt: skip
    said = _output(command, call.scratch)
    found = re.search(r"Median:\s+([0-9.]+) ms", said)
    if found is None:
        raise EdgedistillError(f"benchmark_app said no median: {said[-500:]}")
    return float(found[1]), command


def litert_benchmark(call: Call) -> tuple[float, list[str]]:
    """LiteRT's. It counts runs and not seconds."""
    result = call.scratch / "litert.json"

    def run(runs: int) -> tuple[float, list[str]]:
        command = [
            _beside_python("litert-benchmark"), f"--model={call.path}", f"--num_threads={call.threads}",
            f"--num_runs={runs}", "--warmup_runs=20", f"--result_json={result}",
        ]  # fmt: skip
        _output(command, call.scratch)
        return float(json.loads(result.read_text())["latency"]["median_ms"]), command

    first, _ = run(10)
    return run(max(50, round(1000 * call.seconds / max(first, 0.01))))


def onnxruntime_profiler(call: Call) -> tuple[float, list[str]]:
    """ONNX Runtime's own clock."""
    prefix = call.scratch / "profile"
    command = [sys.executable, "-c", _PROFILE, str(call.path), str(prefix), str(call.threads), str(call.seconds)]
    duration = json.loads(_output(command, call.scratch).splitlines()[-1])
    for profile in call.scratch.glob("profile*.json"):
        profile.unlink()
    return duration / 1000.0, command


TOOLS: dict[str, Tool] = {
    "openvino": benchmark_app,
    "litert": litert_benchmark,
    "onnxruntime": onnxruntime_profiler,
}


def export_network(out: Path) -> Path:
    """MobileNetV2 of random weights, for every vendor whose toolchain is here."""
    import torch
    import torchvision

    from edgedistill.export import export_bundle, from_module

    torch.manual_seed(0)
    network = torchvision.models.get_model(NETWORK, weights=None, num_classes=20)
    classes = [f"class{number}" for number in range(20)]
    source = from_module(network, classes=classes, preprocessing=Preprocessing(size=(SIZE, SIZE)), name=NETWORK)
    export_bundle(source, list(TARGETS), out, progress=lambda *step: print(*step, file=sys.stderr))
    return out


def print_row(found: Agreement) -> None:
    ours, theirs = statistics.median(found.ours_ms), statistics.median(found.theirs_ms)
    verdict = "within 5 %" if found.within else "NOT within 5 %"
    print(
        f"{found.artifact}: ours {ours:.3f} ms, {found.tool} {theirs:.3f} ms, ratio {found.ratio:.3f}: {verdict}",
        end="",
    )
    print(f" ({found.disturbed} of {len(found.ours_ms)} of our runs disturbed)" if found.disturbed else "", flush=True)


def _beside_python(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgedistillError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


if __name__ == "__main__":
    main()
