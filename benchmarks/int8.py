"""What int8 costs in accuracy and saves in time: naive per tensor, naive per channel, and as we export it.

    python benchmarks/int8.py STUDENT.safetensors ... --train TRAIN.csv --test TEST.csv
    python benchmarks/int8.py --table

Each student is exported for every packaged target, calibrated on 512 training images, and its int8 artifacts are
judged on the whole test split by the files as they are saved. The naive graphs take every value that was seen for a
range (minmax), with one scale per weight tensor or one per output channel; beside each stands the same with corrected
biases. Latency is that of `edgedistill bench`, a process per artifact, interleaved, one image of 224 pixels: of the
same student exported for that size. Writes benchmarks/results/int8.json after each student; a student that is there
by its checkpoint is not run again. Trained students: cells of studies (docs/int8.md) and recipes/repvgg_digits.yaml.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import yaml

import edgedistill.distill.data  # noqa: F401 (registers digit scenes)
from edgedistill.runtime.bench.report import ArtifactBench
from edgedistill.runtime.bench.running import benchmark
from edgedistill.runtime.bundle import Coverage
from edgedistill.runtime.datasets import Dataset, open_dataset
from edgedistill.runtime.device import Device, describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.interval import Interval
from edgedistill.runtime.parity import verify
from edgedistill.runtime.record import Record
from edgedistill.runtime.targets import packaged_targets

if TYPE_CHECKING:
    from edgedistill.distill.checkpoint import Student

RESULTS = Path(__file__).parent / "results" / "int8.json"
TIMED = ("onnxruntime-cpu-fp32", "onnxruntime-cpu-int8", "openvino-cpu-fp32", "openvino-cpu-int8")
LATENCY_SIZE = 224


class Row(Record):
    """One way to int8, or float.

    Attributes:
        name: the artifact's, or e.g. "naive, per tensor" and "per channel, biases corrected".
        drop: mAP points lost against PyTorch on the test split; for the naive graphs against the float ONNX file.
        bytes: of its files.
        p50_ms: median latency of one image of 224 pixels; None where it is not measured.
        disturbed: whether the machine was while it was measured.
        coverage: which convolutions run in int8.
        details: what export recorded.
    """

    name: str
    drop: Interval
    bytes: int
    p50_ms: float | None = None
    disturbed: bool = False
    coverage: Coverage | None = None
    details: dict[str, str] = {}


class StudentResult(Record):
    """A student.

    Attributes:
        name: of its network, with its input.
        checkpoint_sha256: of its file.
        test: name of the test split.
        images: how many.
        mean_ap: of the float student on it, points.
        targets: how many were exported for.
        export_seconds: for all of them, calibration included.
        device: where it was measured.
        rows: float, naive and ours.
    """

    name: str
    checkpoint_sha256: str
    test: str
    images: int
    mean_ap: float
    targets: int
    export_seconds: float
    device: Device
    rows: tuple[Row, ...]


class Results(Record):
    """The record."""

    students: tuple[StudentResult, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("students", nargs="*", type=Path)
    parser.add_argument("--train", help="a labelled training split")
    parser.add_argument("--test", help="a labelled test split")
    parser.add_argument("--preset", default="smoke", help="of bench")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the record's table and run nothing")
    arguments = parser.parse_args()
    if not arguments.table and not (arguments.students and arguments.train and arguments.test):
        parser.error("give students, --train and --test; or --table")
    if arguments.table and not arguments.out.exists():
        parser.error(f"{arguments.out}: no record yet")
    if not arguments.table:
        for path in arguments.students:
            run(path, split(arguments.train), split(arguments.test), arguments.preset, arguments.out)
    print_table(msgspec.json.decode(arguments.out.read_bytes(), type=Results))


def split(given: str) -> Dataset:
    """A file of labels, or in braces what a recipe has under `data`."""
    return open_dataset(yaml.safe_load(given) if given.startswith("{") else given, Path())


def run(path: Path, train: Dataset, test: Dataset, preset: str, out: Path) -> None:
    from edgedistill.distill.checkpoint import load_student

    student = load_student(path)
    record = msgspec.json.decode(out.read_bytes(), type=Results) if out.exists() else Results()
    if any(known.checkpoint_sha256 == student.sha256 for known in record.students):
        print(f"{path}: is in {out}")
        return
    found = measure(student, train.with_classes(student.card.classes), test.with_classes(student.card.classes), preset)
    record = msgspec.structs.replace(record, students=(*record.students, found))
    write_atomic(out, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def measure(student: "Student", train: Dataset, test: Dataset, preset: str) -> StudentResult:
    from edgedistill.distill.engine import predict_logits
    from edgedistill.export import export_bundle
    from edgedistill.export.quantization.calibration import choose_calibration

    spec, size, targets = student.card.model, student.card.preprocessing.size, packaged_targets()
    name = f"{spec.name}{'' if spec.width == 1 else f' x{spec.width:g}'}, {size[0]} px"
    outputs = predict_logits(student.model, test, student.card.preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        bundle = export_bundle(
            student,
            targets,
            Path(folder) / "bundle",
            reference=[outputs.reference],
            calibration=choose_calibration(train),
            progress=lambda step, total, text: print(f"{name}: {step}/{total} {text}", flush=True),
        )
        export_seconds = time.perf_counter() - started
        built = {artifact.name: artifact for artifact in bundle.manifest.artifacts}
        wanted = [one.name for one in built.values() if one.status == "verified" and one.precision == "int8"]
        parity = verify(bundle, test, artifacts=list(dict.fromkeys([*TIMED, *wanted])))
        rows = naive_rows(student, train, test, Path(folder))
        timed = latencies(student, train, preset, Path(folder))
    for judged in parity.artifacts:
        artifact, time_of = built[judged.name], timed.get(judged.name)
        rows.append(
            Row(
                name=judged.name,
                drop=judged.drop,
                bytes=artifact.size,
                p50_ms=time_of.latency.p50.estimate if time_of and time_of.latency else None,
                disturbed=bool(time_of and time_of.disturbed),
                coverage=artifact.coverage,
                details=artifact.details,
            )
        )
    return StudentResult(
        name=name,
        checkpoint_sha256=student.sha256,
        test=test.name,
        images=parity.images,
        mean_ap=parity.reference.mean_ap.estimate,
        targets=len(targets),
        export_seconds=round(export_seconds, 1),
        device=describe_device(),
        rows=tuple(rows),
    )


def latencies(student: "Student", train: Dataset, preset: str, scratch: Path) -> dict[str, ArtifactBench]:
    """By artifact, of the same network for images of LATENCY_SIZE; a few calibrate, since nobody asks for accuracy."""
    from edgedistill.export import export_bundle
    from edgedistill.export.quantization.calibration import choose_calibration

    preprocessing = msgspec.structs.replace(student.card.preprocessing, size=(LATENCY_SIZE, LATENCY_SIZE))
    card = msgspec.structs.replace(student.card, preprocessing=preprocessing)
    resized = dataclasses.replace(student, card=card)
    calibration = choose_calibration(train, 64, judged=64)
    bundle = export_bundle(resized, list(TIMED), scratch / "timed", calibration=calibration)
    return {artifact.name: artifact for artifact in benchmark(bundle, preset=preset).artifacts}


def naive_rows(student: "Student", train: Dataset, test: Dataset, scratch: Path) -> list[Row]:
    """Our graph and operators, where every value seen is the range, without and with corrected biases."""
    from edgedistill.distill.models.reparameterize import reparameterize
    from edgedistill.export.conversions.onnx_fp32 import export_onnx
    from edgedistill.export.graph import DeployGraph
    from edgedistill.export.quantization import calibration, calibrators, held_out, qdq, ranges
    from edgedistill.export.quantization.qdq_quantiser import QdqQuantiser
    from edgedistill.export.signature import input_spec

    size = student.card.preprocessing.size
    graph = DeployGraph(reparameterize(student.model))
    traced = export_onnx(graph, input_spec("uint8_nhwc", size), scratch / "float.onnx")
    prepared = qdq.prepare(traced, scratch / "prepared.onnx")
    chosen = calibration.Calibration(calibration.choose_calibration(train).ranges, test)
    images = calibration.decode_calibration(chosen, student.card.classes, student.card.preprocessing, uint8=True)
    histograms = ranges.measure(prepared, images.ranges, scratch, qdq.OPERATORS)
    everything = calibrators.calibrated(histograms, "minmax")
    judge = held_out.Judge.of(held_out.run_logits(prepared, images.held_out), images.targets, 0.95)
    rows = []
    for what, per_channel in (("per tensor", False), ("per channel", True)):
        naive = QdqQuantiser(prepared, qdq.Flavour(what, signed=False, per_channel=per_channel))
        corrected = naive.corrected(everything, images.ranges, scratch)
        for name, quantiser in ((f"naive, {what}", naive), (f"{what}, biases corrected", corrected)):
            path = quantiser.quantise(everything, scratch / name.replace(" ", "-"))
            drop = judge.drop(judge.left_out(quantiser.logits(path, images.held_out)))
            assert drop is not None
            rows.append(Row(name=name, drop=drop, bytes=path.stat().st_size))
    return rows


def print_table(record: Results) -> None:
    """Markdown."""
    print(
        "| student | test mAP | int8 | mAP drop [95 % CI] | convolutions in int8 | size, MB "
        f"| p50 ms, {LATENCY_SIZE} px | int8 / fp32 |"
    )
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    for student in record.students:
        times = {row.name: row.p50_ms for row in student.rows}
        for row in student.rows:
            if row.name.endswith("fp32"):
                continue
            drop = f"{row.drop.estimate:.2f}"
            if row.drop.low is not None and row.drop.high is not None:
                drop += f" [{row.drop.low:.2f}, {row.drop.high:.2f}]"
            counted = f"{row.coverage.int8} of {row.coverage.convolutions}" if row.coverage else ""
            full = times.get(row.name.replace("int8", "fp32"))
            latency = "" if row.p50_ms is None else f"{row.p50_ms:.2f}{' (disturbed)' if row.disturbed else ''}"
            ratio = f"{row.p50_ms / full:.2f}" if row.p50_ms and full else ""
            print(
                f"| {student.name} | {student.mean_ap:.2f} | {row.name} | {drop} | {counted} | {row.bytes / 1e6:.2f} "
                f"| {latency} | {ratio} |"
            )
    seconds = ", ".join(
        f"{one.name} {one.export_seconds:.0f} s ({one.targets} targets, {one.device.cores} cores of {one.device.cpu})"
        for one in record.students
    )
    print(f"\nExport of all packaged targets with calibration on 512 images: {seconds}.")


if __name__ == "__main__":
    main()
