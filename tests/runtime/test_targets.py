"""Deploy configs: what is impossible is one line before any work, and only there, not when a manifest is read."""

import pytest
import yaml

from edgedistill.export.requested import resolve_targets
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.targets import Target, load_target, packaged_targets, target_problem

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


def test_packaged_and_capable_targets_are_fine():
    assert resolve_targets(packaged_targets())
    made = Target(
        name="ada", backend="tensorrt", precision="fp16", device="cuda:0", compute_capabilities=["8.9", "12.0"]
    )
    assert resolve_targets([made]) == [made]
