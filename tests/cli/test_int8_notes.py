"""What `inspect` says of int8 files."""

import io

from rich.console import Console

from edgedistill.cli.int8_notes import int8_notes
from edgedistill.runtime.bundle import Artifact, FileEntry
from edgedistill.runtime.targets import Target


def make_artifact(name, details, files=1):
    entries = (FileEntry(path="model", sha256="", bytes=1),) * files
    target = Target(name=name, backend="onnxruntime", precision="int8")
    return Artifact(name=name, target=target, files=entries, status="verified", details=details)


def test_files_of_one_graph_are_told_once_and_others_not_at_all():
    shared = {"held_out_drop": "0.1 mAP points", "bias_correction": "kept [1]", "calibrators_tried": "minmax: 2"}
    artifacts = [
        make_artifact("full", {"onnxsim": "none"}),
        make_artifact("a-int8", shared),
        make_artifact("b-int8", {**shared, "required_operators": "Conv"}),
        make_artifact("c-int8", {"layer_snr": "conv 12.0 dB", "weights": "7 bits", "weight_ranges": "x"}),
        make_artifact("failed", shared, files=0),
    ]
    written = io.StringIO()
    int8_notes(artifacts, Console(file=written, width=200))
    assert written.getvalue().splitlines() == [
        "a-int8, b-int8",
        "  lost on held-out images: 0.1 mAP points",
        "  bias correction: kept [1]",
        "c-int8",
        "  worst layers, signal to noise: conv 12.0 dB",
        "  weights: 7 bits",
        "  ranges of the weights: x",
    ]
