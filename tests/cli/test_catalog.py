"""`edgedistill list` as documentation."""

import json
import sys
from importlib import metadata
from importlib.util import find_spec

from edgedistill.distill.methods.reference import markdown
from edgedistill.runtime.backends.base import BACKENDS


def test_the_page_of_the_methods_is_printed_as_it_is(command):
    assert command("list", "methods", "--markdown")[:2] == (0, markdown())
    code, _, err = command("list", "models", "--markdown")
    assert code == 2
    assert "--markdown is for methods, not models" in err


def test_what_is_wide_is_told_in_json_alone(command):
    assert "lambda_mld=10.0" in command("list", "methods", "--json")[1]
    table = command("list", "methods")[1]
    assert "bd2* bd3* bd4*" in table
    assert "lambda_mld" not in table


def test_a_data_set_is_told_in_one_sentence(command):
    rows = json.loads(command("list", "datasets", "--json")[1])
    assert len(rows) > 4
    assert [row["format"] for row in rows if not row["description"].endswith(".")] == []


def test_a_backend_is_told_with_what_it_opens_and_its_version(command):
    rows = {row["backend"]: row for row in json.loads(command("list", "backends", "--json")[1])}
    assert rows["onnxruntime"]["opens"] == ".onnx .ort"
    assert rows["onnxruntime"]["devices"].split()[:2] == ["cpu", "cuda"]
    assert rows["onnxruntime"]["installed"] == f"onnxruntime {metadata.version('onnxruntime')}"
    assert rows["onnxruntime"]["here"] == "yes"
    assert rows["openvino"]["opens"] == ".xml"
    assert rows["tensorrt"]["opens"] == "bundles alone"


def test_what_is_not_here_says_how_to_get_it_once(command, monkeypatch):
    backend = BACKENDS.get("tensorrt")
    monkeypatch.setattr(backend, "unavailable", classmethod(lambda cls: "get it [/there]."))
    out = command("list", "targets")[1]
    told = next(line for line in out.splitlines() if line.endswith(": get it [/there]."))
    assert set(told.removeprefix("not here  ").split(":")[0].split(", ")) == {
        *("tensorrt-gpu-fp16", "tensorrt-gpu-fp32", "tensorrt-gpu-int8", "tensorrt-desktop-fp16", "tensorrt-orin-fp16")
    }
    assert "not here  tensorrt: get it [/there].\n" in command("list", "backends")[1]
    rows = {row["target"]: row for row in json.loads(command("list", "targets", "--json")[1])}
    assert rows["tensorrt-gpu-fp16"]["here"] == "get it [/there]."


def test_what_cannot_be_built_here_says_why(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    rows = {row["target"]: row["built here"] for row in json.loads(command("list", "targets", "--json")[1])}
    assert rows["openvino-cpu-fp32"] == 'openvino is not installed: `pip install "edgedistill[openvino]"`.'
    assert rows["onnxruntime-cpu-fp32"] == "yes"
    if find_spec("tensorrt") or not find_spec("tensorrt_rtx"):
        return  # what the classic library builds depends on the GPU
    assert "builds nothing for SM 8.7" in rows["tensorrt-orin-fp16"]
    assert (rows["tensorrt-gpu-fp16"], rows["tensorrt-desktop-fp16"]) == ("yes", "yes")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    rows = {row["target"]: row["built here"] for row in json.loads(command("list", "targets", "--json")[1])}
    assert rows["tensorrt-gpu-fp16"].startswith("no TensorRT here: ")


def test_targets_are_grouped_by_what_people_own(command):
    lines = [line.strip() for line in command("list", "targets")[1].splitlines()]
    groups = [lines.index(name) for name in ("generic", "Browser", "Raspberry Pi 5")]
    assert groups == sorted(groups)
    assert lines[groups[-1] + 1].startswith("onnxruntime-pi5-fp32 ")
    rows = json.loads(command("list", "targets", "--json")[1])
    assert {row["target"]: row["hardware"] for row in rows}["openvino-npu-fp16"] == "Intel PC"
    (npu,) = (row for row in rows if row["target"] == "openvino-npu-fp16")
    assert npu["here"].startswith("openvino finds no device NPU here")


def test_a_target_is_told_with_its_precision_and_gates(command):
    rows = {row["target"]: row for row in json.loads(command("list", "targets", "--json")[1])}
    assert rows["openvino-cpu-bf16"]["precision"] == "bf16"
    assert rows["openvino-cpu-bf16"]["gates"] == "max_map_drop 1, confidence 0.95"
