"""OpenVINO's int8: our graph, run by OpenVINO and by ONNX Runtime, beside NNCF's of the same student.

    python benchmarks/int8_openvino.py STUDENT.safetensors ... --train TRAIN.csv --test TEST.csv
    python benchmarks/int8_openvino.py --table

NNCF (`pip install nncf`, in an environment of its own) quantises OpenVINO's float file on the 512 images that calibrate
ours, with its fast bias correction (its default) and with the accurate one, for a CPU ("mixed": activations unsigned
where they can be). All files are judged as they are saved, on the same test images against PyTorch's logits, with
INFERENCE_PRECISION_HINT=f32. Writes benchmarks/results/int8_openvino.json; a student that is there is not run again.
Trained students: benchmarks/recipes/coco18_students.yaml.
"""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgedistill.runtime.datasets import Dataset, open_dataset
from edgedistill.runtime.device import Device, describe_device
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.interval import Interval
from edgedistill.runtime.record import Record

if TYPE_CHECKING:
    from edgedistill.distill.checkpoint import Student
    from edgedistill.export.quantization.graph_images import GraphImages

RESULTS = Path(__file__).parent / "results" / "int8_openvino.json"
OURS, BY_ONNXRUNTIME = "ours, by OpenVINO", "ours, by ONNX Runtime"
_BATCH = 16


class Row(Record):
    """A file and what ran it.

    Attributes:
        name: of them.
        drop: mAP points lost against PyTorch.
        error: mean |difference| of a logit from PyTorch's.
        bytes: of the file.
        seconds: that quantising took, measuring activations included where it is NNCF's.
    """

    name: str
    drop: Interval
    error: float
    bytes: int
    seconds: float | None = None


class StudentResult(Record):
    """A student.

    Attributes:
        name: of its network, with its input.
        checkpoint_sha256: of its file.
        test: name of the test split.
        images: how many of it.
        engines_differ: mean |difference| of a logit of our graph between OpenVINO and ONNX Runtime.
        rows: the files.
    """

    name: str
    checkpoint_sha256: str
    test: str
    images: int
    engines_differ: float
    rows: tuple[Row, ...]


class Results(Record):
    """The record, with the versions that made it."""

    device: Device
    versions: dict[str, str]
    students: tuple[StudentResult, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("students", nargs="*", type=Path)
    parser.add_argument("--train", help="a labelled training split")
    parser.add_argument("--test", help="a labelled test split")
    parser.add_argument("--images", type=int, default=2250, help="of the test split, spread over it")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="print the record's table and run nothing")
    arguments = parser.parse_args()
    if not arguments.table and not (arguments.students and arguments.train and arguments.test):
        parser.error("give students, --train and --test; or --table")
    if arguments.table and not arguments.out.exists():
        parser.error(f"{arguments.out}: no record yet")
    if not arguments.table:
        test = open_dataset(arguments.test)
        test = test.subset(np.unique(np.linspace(0, len(test) - 1, arguments.images).astype(int)))
        for path in arguments.students:
            run(path, open_dataset(arguments.train), test, arguments.out)
    print_table(msgspec.json.decode(arguments.out.read_bytes(), type=Results))


def run(path: Path, train: Dataset, test: Dataset, out: Path) -> None:
    from importlib.metadata import version

    from edgedistill.distill.checkpoint import load_student

    student = load_student(path)
    versions = {name: version(name) for name in ("nncf", "openvino", "onnxruntime")}
    record = Results(device=describe_device(), versions=versions)
    if out.exists():
        record = msgspec.json.decode(out.read_bytes(), type=Results)
    if any(known.checkpoint_sha256 == student.sha256 for known in record.students):
        print(f"{path}: is in {out}")
        return
    found = measure(student, train.with_classes(student.card.classes), test.with_classes(student.card.classes))
    record = msgspec.structs.replace(record, students=(*record.students, found))
    write_atomic(out, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def measure(student: "Student", train: Dataset, test: Dataset) -> StudentResult:
    from edgedistill.distill.engine import predict_logits
    from edgedistill.export import export_bundle
    from edgedistill.export.quantization.calibration import Calibration, choose_calibration, decode_calibration
    from edgedistill.export.quantization.held_out import Judge, run_logits

    spec, size = student.card.model, student.card.preprocessing.size
    name = f"{spec.name}{'' if spec.width == 1 else f' x{spec.width:g}'}, {size[0]} px"
    chosen = choose_calibration(train)
    judged = Calibration(chosen.ranges, test)
    images = decode_calibration(judged, student.card.classes, student.card.preprocessing, uint8=True)
    (_, expected) = predict_logits(student.model, test, student.card.preprocessing).reference
    judge = Judge.of(expected[~np.isnan(expected).any(axis=1)], images.targets, 0.95)
    rows = []

    def judged_row(what: str, logits: np.ndarray, files: list[Path], seconds: float | None = None) -> None:
        drop = judge.drop(judge.left_out(logits))
        assert drop is not None
        size = sum(file.stat().st_size for file in files)
        error = float(judge.errors(logits).mean())
        rows.append(Row(name=what, drop=drop, error=error, bytes=size, seconds=seconds))
        print(f"{name}: {rows[-1]}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        targets = ["openvino-cpu-fp32", "openvino-cpu-int8", "onnxruntime-cpu-int8"]
        bundle = export_bundle(
            student,
            targets,
            Path(folder) / "bundle",
            calibration=chosen,
            progress=lambda step, total, text: print(f"{name}: {step}/{total} {text}", flush=True),
        )
        full, ours = (bundle.root / "openvino" / f"model.{precision}.xml" for precision in ("fp32", "int8"))
        by_openvino = openvino_logits(ours, images.held_out)
        judged_row(OURS, by_openvino, [ours, ours.with_suffix(".bin")])
        onnx = bundle.root / "onnx" / "model.int8.onnx"
        by_onnxruntime = run_logits(onnx, images.held_out)
        judged_row(BY_ONNXRUNTIME, by_onnxruntime, [onnx])
        for what, fast in (("NNCF", True), ("NNCF, accurate bias correction", False)):
            path = Path(folder) / f"nncf-{fast}.xml"
            seconds = nncf_quantise(full, images.ranges, path, fast=fast)
            logits = openvino_logits(path, images.held_out)
            judged_row(what, logits, [path, path.with_suffix(".bin")], round(seconds, 1))
    return StudentResult(
        name=name,
        checkpoint_sha256=student.sha256,
        test=test.name,
        images=len(images.held_out),
        engines_differ=float(np.abs(by_openvino - by_onnxruntime).mean()),
        rows=tuple(rows),
    )


def nncf_quantise(full: Path, images: "GraphImages", out: Path, *, fast: bool) -> float:
    """Write NNCF's int8 file of OpenVINO's float file; returns the seconds that it took."""
    import nncf
    import openvino

    model = openvino.Core().read_model(full)
    data = nncf.Dataset([images[at : at + 1] for at in range(len(images))])
    begun = perf_counter()
    preset = nncf.QuantizationPreset.MIXED
    quantised = nncf.quantize(model, data, preset=preset, subset_size=len(images), fast_bias_correction=fast)
    seconds = perf_counter() - begun
    openvino.save_model(quantised, out)
    return seconds


def openvino_logits(path: Path, images: "GraphImages") -> np.ndarray:
    """float32 (N, C)."""
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    logits = compiled.output("logits")
    return np.concatenate([compiled(images[at : at + _BATCH])[logits] for at in range(0, len(images), _BATCH)])


def print_table(record: Results) -> None:
    """Markdown."""
    print("| student | int8 | mAP drop [95 % CI] | mean logit difference | size, MB |")
    print("|---|---|---:|---:|---:|")
    for student in record.students:
        for row in student.rows:
            drop = f"{row.drop.estimate:.2f} [{row.drop.low:.2f}, {row.drop.high:.2f}]"
            print(f"| {student.name} | {row.name} | {drop} | {row.error:.3f} | {row.bytes / 1e6:.2f} |")
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    engines = ", ".join(f"{student.name} {student.engines_differ:.4f}" for student in record.students)
    print(f"\nOur graph's logits differ between OpenVINO and ONNX Runtime on average by: {engines}. {versions}.")


if __name__ == "__main__":
    main()
