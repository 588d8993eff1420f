"""The LiteRT backend on files of a few kilobytes; tests/golden/tiny_litert.py made them."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.backends.litert_facts import read_litert
from edgedistill.runtime.bundle.loose import open_source
from edgedistill.runtime.bundle.selection import open_artifact
from edgedistill.runtime.errors import BundleError, ConfigError

pytest.importorskip("ai_edge_litert", reason="needs LiteRT: the extra `litert`")

FOLDER = Path(__file__).parents[1] / "golden" / "litert"
TINY, FLOAT, INT8 = (FOLDER / f"{name}.tflite" for name in ("tiny", "convolutions", "convolutions.int8"))
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def open_file(path, **options):
    opened = open_source(path)
    return open_artifact(opened, opened.manifest.artifacts[0], **options)


def logits(path, **options):
    with open_file(path, **options) as backend:
        return np.concatenate([backend.infer(image[None])["logits"] for image in IMAGES])


def changed(path, tmp_path, change):
    """A copy of a file after `change` to it as the schema's objects."""
    from ai_edge_litert.tools import flatbuffer_utils as tools

    model = tools.read_model(str(path))
    change(model)
    tools.write_model(model, str(tmp_path / path.name))
    return tmp_path / path.name


def test_outputs_are_the_model_s(tiny_reference):
    with open_file(TINY, threads=2) as backend:
        found = [backend.infer(image[None]) for image in IMAGES]
        assert backend.effective == {
            "library": f"ai_edge_litert {backend.library().__version__}",
            "delegate": "XNNPACK",
            "precision": "fp32",
            "threads": "2",
        }
        with pytest.raises(ValueError, match="takes uint8"):
            backend.infer(IMAGES[:2])  # one image at a time, and the first outputs are the caller's to keep
    expected = tiny_reference(IMAGES)
    np.testing.assert_allclose(np.concatenate([one["logits"] for one in found]), expected, atol=1e-5)
    probabilities = np.concatenate([one["probabilities"] for one in found])
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-expected)), atol=1e-6)


def test_int8_is_counted_from_the_tensors_of_each_convolution():
    with open_file(INT8) as backend:
        assert backend.convolutions() == [
            ("conv_2d_1", "int8"),
            ("depthwise_conv_2d_1", "float"),
            ("conv_2d_2", "int8"),
        ]
        assert backend.effective["precision"] == "int8"
        assert {spec.dtype for spec in backend.outputs} == {"float32"}
    with open_file(FLOAT) as backend:
        assert {kind for _, kind in backend.convolutions()} == {"float"}
        assert backend.effective["precision"] == "fp32"
    expected = logits(FLOAT)
    assert 0 < np.abs(logits(INT8) - expected).max() < 0.1 * np.ptp(expected)


def test_a_file_alone_says_what_its_classes_are():
    with runtime.load_file(TINY) as predictor:
        assert predictor.manifest.classes == ("red", "green", "blue", "bright")
        assert predictor.manifest.thresholds == (0.5, 0.5, 0.5, 0.4)
        red = FOLDER.parent / "bundle_schema_1" / "selftest" / "red.jpg"
        assert predictor.predict([red, red])[1].labels.keys() == {"red"}


def test_metadata_is_read_where_either_tool_puts_it():
    """The converter has it inside; the quantiser puts what is longer behind, at an offset."""
    for path in (FLOAT, INT8):
        metadata = read_litert(path.read_bytes()).metadata
        assert metadata["long"] == "long" * 500
        assert metadata["edgedistill.input"] == '"uint8_nhwc"'


def test_a_batch_that_is_open_takes_any_number(tmp_path, tiny_reference):
    def open_batch(model):
        graph = model.subgraphs[0]
        graph.tensors[graph.inputs[0]].shapeSignature = [-1, 16, 16, 3]

    with open_file(changed(TINY, tmp_path, open_batch)) as backend:
        assert backend.inputs[0].shape == ("?", 16, 16, 3)
        for count in (3, 1, 6):
            found = backend.infer(IMAGES[:count])["logits"]
            np.testing.assert_allclose(found, tiny_reference(IMAGES[:count]), atol=1e-5)


def test_without_a_signature_the_tensors_names_are_used(tmp_path):
    path = changed(TINY, tmp_path, lambda model: setattr(model, "signatureDefs", []))
    with open_file(path) as backend:
        assert [spec.name for spec in (*backend.inputs, *backend.outputs)] == ["image", "logits", "probabilities"]


def test_two_signatures_are_no_classifier(tmp_path):
    def twice(model):
        from copy import deepcopy

        other = deepcopy(model.signatureDefs[0])
        other.signatureKey = b"other"
        model.signatureDefs.append(other)

    with pytest.raises(BundleError, match=r"has 2 signatures \(serving_default, other\)"):
        open_file(changed(TINY, tmp_path, twice))


@pytest.mark.parametrize("data", [b"not a\nmodel", b"\x1c\x00\x00\x00TFL3" + bytes(40), TINY.read_bytes()[:1500]])
def test_a_damaged_file_is_one_line(tmp_path, data):
    path = tmp_path / "damaged.tflite"
    path.write_bytes(data)
    with pytest.raises(BundleError) as caught:
        open_file(path)
    assert str(caught.value).startswith(f"{path}: ai_edge_litert ")
    assert "\n" not in str(caught.value)


def test_reading_a_damaged_file_ends_in_facts_or_in_words():
    data = INT8.read_bytes()
    for end in range(0, len(data), 7):
        for damaged in (data[:end], data[:end] + b"\xff\xff\xff\x7f" + data[end + 4 :]):
            with contextlib.suppress(ValueError):
                read_litert(damaged)


LOADS = f"""
import os
from edgedistill.runtime.backends import litert
litert.start(open({str(TINY)!r}, "rb").read())
with litert._greeting_kept_back():
    os.write(2, b"another thread's words\\n")
"""


def test_its_greeting_alone_is_kept_from_a_terminal_and_nothing_from_a_log():
    done = subprocess.run([sys.executable, "-c", LOADS], stderr=subprocess.PIPE, check=True)
    assert done.stderr.splitlines() == [b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.", WORDS]
    ours, terminal = os.openpty()
    subprocess.run([sys.executable, "-c", LOADS], stderr=terminal, check=True)
    os.close(terminal)
    assert os.read(ours, 1000).splitlines() == [WORDS]
    os.close(ours)


WORDS = b"another thread's words"


def test_only_the_cpu_is_known():
    assert BACKENDS.get("litert").devices == ("cpu",)
    with pytest.raises(ConfigError, match="unknown litert device 'gpu': only cpu"):
        open_file(TINY, device="gpu")
