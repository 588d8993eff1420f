"""Deploy configs: what is impossible is one line before any work, and only there, not when a manifest is read."""

import re
from pathlib import Path

import pytest
import yaml

from edgedistill.export.requested import resolve_targets
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.targets import GENERIC, Target, load_target, packaged_targets, target_problem

MISTAKES = [
    ({"device": "gqu"}, r"device gqu: onnxruntime has cpu, cuda"),
    ({"device": "CPU"}, r"device CPU: onnxruntime has cpu"),
    ({"backend": "openvino", "device": "auto"}, r"device auto: openvino has cpu, gpu, npu"),
    ({"backend": "tensorrt", "device": "cpu"}, r"device cpu: tensorrt has gpu, cuda"),
    ({"name": ""}, r"name \(empty\): needs a portable"),
    ({"name": ".."}, r"name \.\.: needs a portable"),
    ({"name": "a/b"}, r"name a/b: needs a portable file name"),
    ({"name": "a\\b"}, r"name a\\b: needs a portable"),
    ({"name": "a\x1b[2J"}, r"name a\\x1b\[2J: needs a portable"),
    ({"compute_capabilities": ["8.9"]}, r"compute_capabilities: only for tensorrt, not onnxruntime"),
    (
        {"backend": "tensorrt", "device": "cuda:0", "compute_capabilities": ["89"]},
        r"compute_capabilities 89: give SM",
    ),
    ({"weight_bits": 7}, r"weight_bits: only for int8, not fp32"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_mistakes_are_told_before_any_work(tmp_path, changes, message):
    written = {"name": "mine", "backend": "onnxruntime", "precision": "fp32", **changes}
    with pytest.raises(ConfigError, match=message) as raised:
        resolve_targets([Target(**written)])
    assert "\n" not in str(raised.value)
    assert target_problem(Target(**written)) == ""  # a manifest of a newer version may say so
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(written))
    with pytest.raises(ConfigError, match=f"mine.yaml: {message}"):
        load_target(path)


def test_dynamic_int8_is_refused_with_the_reason(tmp_path):
    written = {"name": "mine", "backend": "onnxruntime", "precision": "int8-dynamic"}
    reason = (
        r"\. Dynamic int8 measures ranges while it runs: .* not for convolutions\. Take int8, which is calibrated\."
    )
    with pytest.raises(ConfigError, match=f"^mine: onnxruntime is not built in int8-dynamic; .*{reason}$"):
        resolve_targets([Target(**written)])
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(written))
    with pytest.raises(ConfigError, match=f"mine.yaml: `precision`: unknown precision 'int8-dynamic'.*{reason}$"):
        load_target(path)


@pytest.mark.parametrize(
    ("backend", "device"),
    [
        ("onnxruntime", "cuda:1"),
        ("openvino", "GPU.1"),
        ("openvino", "npu"),
        ("tensorrt", "gpu"),
        ("tensorrt", "cuda:0"),
    ],
)
def test_device_words_with_an_index_are_known(backend, device):
    precision = "fp32"
    assert resolve_targets([Target(name="my target-1.2", backend=backend, precision=precision, device=device)])


@pytest.mark.parametrize("name", packaged_targets())
def test_a_packaged_target_is_called_by_what_it_is(name):
    target = load_target(name)
    assert name.startswith(f"{target.backend}-")
    assert name.endswith(f"-{target.precision}")
    assert target.gates["max_map_drop"] > 0
    if target.device == "npu" or target.format == "ort":
        assert target.batch.fixed == 1
    assert (target.threads == 4) == target.hardware.startswith("Raspberry Pi ")


def test_there_is_a_target_for_what_people_own():
    hardware = {load_target(name).hardware for name in packaged_targets()}
    assert hardware >= {
        "Raspberry Pi 4",
        "Raspberry Pi 5",
        "Android",
        "Jetson Orin",
        "Intel PC",
        "NVIDIA PC",
        "Browser",
        "iPhone, iPad, Mac",
    }
    assert load_target("onnxruntime-cpu-fp32").hardware == GENERIC
    assert load_target("tensorrt-desktop-fp16").compute_capabilities == ["8.6", "8.9", "12.0"]


def test_the_page_names_targets_that_there_are_and_a_deploy_config_that_works(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "targets.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[ `]((?:onnxruntime|openvino|tensorrt|litert|coreml)-[a-z0-9]+-[a-z0-9]+)", page))
    assert len(named) > 10
    assert named <= set(packaged_targets())
    (written,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_kiosk.yaml").write_text(written, encoding="utf-8")
    assert load_target(tmp_path / "my_kiosk.yaml").hardware == "Kiosk 3"


def test_packaged_and_capable_targets_are_fine():
    assert resolve_targets(packaged_targets())
    made = Target(
        name="ada", backend="tensorrt", precision="fp16", device="cuda:0", compute_capabilities=["8.9", "12.0"]
    )
    assert resolve_targets([made]) == [made]
