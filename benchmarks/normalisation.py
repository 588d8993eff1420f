"""What folding the normalisation of pixels into the first convolution would bring, in float32 and in int8.

    python benchmarks/normalisation.py

scale * x - shift becomes x - shift / scale, and the scale goes into the convolution's weights. That is the same in real
numbers: where the convolution pads, zero stays zero. The shift cannot follow: behind it a padded zero would be another
colour than the mean. docs/int8.md shows the table.

CPU seconds of one thread, which other programs on the machine do not lengthen; both files in turns, in one process.
"""

import argparse
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.export import reparameterize
from edgedistill.export.conversions.onnx_fp32 import export_onnx
from edgedistill.export.graph import DeployGraph
from edgedistill.export.quantization import qdq, ranges
from edgedistill.export.quantization.calibrators import calibrated
from edgedistill.export.quantization.graph_images import GraphImages
from edgedistill.export.signature import input_spec
from edgedistill.runtime.device import describe_device
from edgedistill.runtime.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "normalisation.json"
NETWORKS = (("mobilenetv2", {}), ("shufflenetv2", {"width": 0.5}), ("repvgg_a0", {}))
SIZE = (224, 224)


def fold(source: Path, out: Path) -> Path:
    """Write the graph with one subtraction, whose convolution holds the scale."""
    model = onnx.load(source)
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    scaling = next(node for node in graph.node if node.op_type == "Mul")
    shifting = next(node for node in graph.node if scaling.output[0] in node.input)
    convolution = next(node for node in graph.node if shifting.output[0] in node.input)
    scale, shift = (numpy_helper.to_array(tensors[node.input[1]]).astype(np.float64) for node in (scaling, shifting))
    weight = tensors[convolution.input[1]]
    weights = numpy_helper.to_array(weight).astype(np.float64) * scale
    weight.CopyFrom(numpy_helper.from_array(weights.astype(np.float32), weight.name))
    tensor = tensors[shifting.input[1]]
    tensor.CopyFrom(numpy_helper.from_array((shift / scale).astype(np.float32), tensor.name))
    shifting.input[0] = scaling.input[0]
    graph.initializer.remove(tensors[scaling.input[1]])
    graph.node.remove(scaling)
    onnx.save(model, out)
    return out


def quantise(source: Path, scratch: Path, images: np.ndarray) -> Path:
    """The U8S8 graph with ranges of everything seen."""
    prepared = qdq.prepare(source, scratch / f"{source.stem}.prepared.onnx")
    found = ranges.measure(prepared, GraphImages(images), scratch, qdq.OPERATORS)
    return qdq.quantise(prepared, calibrated(found, "minmax"), qdq.U8S8, scratch / f"{source.stem}.int8.onnx")


def paired(one: Path, other: Path, image: np.ndarray, turns: int) -> dict[str, float]:
    """The CPU time of `other` in units of `one`'s: the median of the turns with a 95 % bootstrap interval."""
    sessions = [session(path) for path in (one, other)]
    seconds = np.empty((turns, 2))
    logits = [run.run(["logits"], {"image": image})[0] for run in sessions]
    for turn in range(-10, turns):  # the first are not counted
        for which in (0, 1) if turn % 2 else (1, 0):
            started = time.thread_time()
            sessions[which].run(["logits"], {"image": image})
            seconds[max(turn, 0), which] = time.thread_time() - started
    ratios = seconds[:, 1] / seconds[:, 0]
    rng = np.random.default_rng(0)
    medians = np.median(ratios[rng.integers(turns, size=(1000, turns))], axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    difference = float(np.abs(logits[0] - logits[1]).max() / np.ptp(logits[0]))
    return {"ratio": float(np.median(ratios)), "low": float(low), "high": float(high), "logits": difference}


def session(path: Path) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=300)
    turns = parser.parse_args().turns
    images = np.random.default_rng(0).integers(0, 256, (2, 7, 7, 3), np.uint8).repeat(32, 1).repeat(32, 2)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name, options in NETWORKS:
            torch.manual_seed(0)
            graph = DeployGraph(reparameterize(build_from_spec(ModelSpec(name=name, **options), 18).eval()))
            plain = export_onnx(graph, input_spec("uint8_nhwc", SIZE), scratch / f"{name}.onnx")
            folded = fold(plain, scratch / f"{name}.folded.onnx")
            files = {"fp32": (plain, folded)}
            files["int8"] = tuple(quantise(path, scratch, images) for path in (plain, folded))
            for precision, (one, other) in files.items():
                found = paired(one, other, images[:1], turns)
                rows.append({"network": name, "precision": precision, **found})
                interval = f"{found['ratio']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
                print(f"| {name} | {precision} | {interval} |", flush=True)
    record = {"device": describe_device(), "onnxruntime": onnxruntime.__version__, "turns": turns, "rows": rows}
    write_atomic(RESULTS, msgspec.json.format(msgspec.json.encode(record), indent=2))


if __name__ == "__main__":
    main()
