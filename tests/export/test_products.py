"""Where a CPU's products of bytes overflow, weights have 7 bits."""

import re
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from onnx import numpy_helper

from edgedistill.export.builders import BUILDERS
from edgedistill.export.conversions import Converted, onnx_int8
from edgedistill.export.quantization import calibrators, products, qdq
from edgedistill.export.quantization.qdq_quantiser import QdqQuantiser
from edgedistill.runtime.device import overflows_bytes
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.targets import Target, load_target


@pytest.mark.parametrize("exact", [True, False])
def test_only_unsigned_activations_on_a_cpu_without_exact_products_change_the_weights(exact, monkeypatch):
    monkeypatch.setattr(products, "multiplies_exactly", lambda: exact)
    flavour, details = products.flavour_here(qdq.U8S8)
    assert flavour.weight_levels == (127 if exact else 64)
    assert ("weights" in details) is not exact
    assert products.flavour_here(qdq.S8S8) == (qdq.S8S8, {})
    asked, details = products.flavour_here(qdq.U8S7)
    assert (asked.weight_levels, details) == (64, {"weights": "7 bits: asked for by `weight_bits`"})


@pytest.mark.parametrize("exact", [True, False])
def test_weights_that_were_trained_keep_their_bits_and_it_is_told_where_sums_overflow(exact, monkeypatch):
    monkeypatch.setattr(products, "multiplies_exactly", lambda: exact)
    told = products.of_trained_weights().get("weights", "")
    assert told.startswith("8 bits, as they were trained: ") is not exact


def test_the_probe_agrees_with_what_the_cpu_says_of_itself():
    facts = Path("/proc/cpuinfo")
    if not facts.exists() or not re.search("^flags", facts.read_text("utf-8"), re.MULTILINE):
        pytest.skip("no flags of an x86 CPU here")
    assert products.multiplies_exactly() is not overflows_bytes()


def test_where_sums_overflow_one_graph_is_chosen_for_both_kinds_of_targets(monkeypatch):
    monkeypatch.setattr(products, "multiplies_exactly", lambda: False)
    made = Converted(Path("w7.onnx"), {"quantization": "u8s7", "weights": "7 bits: asked for"})
    asked = []
    ingredients = SimpleNamespace(
        source=SimpleNamespace(trained_in_int8=False), get=lambda name: asked.append(name) or made
    )
    found = onnx_int8.onnx_int8_u8s8(ingredients)
    assert (found.path, asked) == (made.path, ["onnx.int8.u8s7"])
    assert found.details["weights"].startswith("7 bits: the exporting CPU has no exact product of bytes")


@pytest.mark.parametrize(("flavour", "largest"), [(qdq.U8S8, 127), (qdq.U8S7, 64)])
def test_the_weights_of_a_graph_have_the_bits_of_its_flavour(flavour, largest, measured, tmp_path):
    prepared, histograms, *_ = measured
    ranges = calibrators.calibrated(histograms, "minmax")
    written = QdqQuantiser(prepared, flavour).quantise(ranges, tmp_path / "int8.onnx")
    stored = map(numpy_helper.to_array, onnx.load(written).graph.initializer)
    assert max(abs(levels.astype(int)).max() for levels in stored if levels.dtype == "int8") == largest


def test_who_asks_for_weights_of_7_bits_has_a_file_of_its_own():
    target, usual = map(load_target, ("onnxruntime-avx2-int8", "onnxruntime-cpu-int8"))
    builder = BUILDERS.get("onnxruntime")
    assert [builder.conversion(one) for one in (target, usual)] == ["onnx.int8.u8s7", "onnx.int8.u8s8"]
    assert builder.file_name(target, "onnx") == "model.int8.w7.onnx"
    rtx = Target(name="rtx", backend="tensorrt", precision="int8", weight_bits=7)
    with pytest.raises(ConfigError, match=r"rtx: tensorrt in int8 has no weights of 7 bits: remove the key"):
        BUILDERS.get("tensorrt").conversion(rtx)
