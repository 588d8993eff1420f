"""What `export` and `inspect` say of int8 files."""

import io

import msgspec
from rich.console import Console

from edgedistill.cli.bundle_table import bundle_table
from edgedistill.cli.int8_notes import int8_notes
from edgedistill.runtime.bundle import Artifact, Bundle, Coverage, FileEntry, open_bundle
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
        make_artifact("c-int8", {"layer_snr": "conv 12.0 dB", "weights": "7 bits", "adaptive_rounding": "kept"}),
        make_artifact("failed", shared, files=0),
    ]
    written = io.StringIO()
    int8_notes(artifacts, Console(file=written, width=200))
    assert written.getvalue().splitlines() == [
        "a-int8, b-int8",
        "  lost on held-out images: 0.1 mAP points",
        "  bias correction: kept [1]",
        "c-int8",
        "  weights rounded adaptively: kept",
        "  worst layers, signal to noise: conv 12.0 dB",
        "  weights: 7 bits",
    ]


def test_below_95_percent_the_layers_in_float_are_named(tiny_bundle):
    opened = open_bundle(tiny_bundle)
    names = tuple(f"conv{number}" for number in range(1, 8))
    counted = (
        Coverage(runner="onnxruntime 1.32", convolutions=70, int8=63, in_float=names),
        Coverage(runner="openvino 2026.4", convolutions=20, int8=19, in_float=("stem",)),
        None,
    )
    artifacts = tuple(
        msgspec.structs.replace(artifact, coverage=coverage)
        for artifact, coverage in zip(opened.manifest.artifacts, counted, strict=True)
    )
    manifest = msgspec.structs.replace(opened.manifest, artifacts=artifacts)
    written = io.StringIO()
    bundle_table(Bundle(opened.storage, manifest, b""), Console(file=written, width=200))
    text = written.getvalue()
    assert (
        f"{artifacts[0].name}: onnxruntime 1.32 computes 90% of the convolutions in int8; "
        "in float: conv1, conv2, conv3, conv4, conv5 and 2 more."
    ) in text.splitlines()
    assert "19 of 20 convolutions in int8" in text
    assert "openvino 2026.4 computes" not in text
