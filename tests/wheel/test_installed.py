"""An installed wheel with the runtime's dependencies alone: package data, prediction, and clear words about the rest.

Run by .ci/run in an environment without torch, from outside the checkout.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import edgedistill
from edgedistill.runtime.targets import load_target, packaged_targets

CHECKOUT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "edgedistill", *arguments], capture_output=True, text=True, check=False
    )


def test_this_is_the_wheel_and_torch_is_absent():
    assert CHECKOUT not in Path(edgedistill.__file__).resolve().parents
    assert find_spec("torch") is None


def test_package_data_is_there():
    assert "onnxruntime-cpu-fp32" in packaged_targets()
    assert all(load_target(name).name == name for name in packaged_targets())
    package = Path(edgedistill.__file__).parent
    assert (package / "distill" / "recipe" / "demo.yaml").is_file()
    assert (package / "py.typed").is_file()
    assert (package / "runtime" / "report" / "vendor" / "plot.umd.min.js").is_file()
    assert (package / "export" / "packages" / "templates" / "javascript" / "index.d.ts").is_file()
    assert not (package / "tests").exists()


@pytest.mark.parametrize("name", ["demo", "run x.yaml", "train x.yaml", "distill x.yaml", "export x", "list models"])
def test_training_commands_name_the_extra(name):
    done = command(*name.split())
    assert done.returncode == 3
    assert 'pip install "edgedistill[train]"' in done.stderr or 'pip install "edgedistill[export]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_backend_names_its_extra():
    done = command("list", "backends")
    assert done.returncode == 0
    assert "edgedistill[openvino]" in done.stdout


@pytest.fixture
def bundle() -> Path:
    """Written by the training environment, see .ci/run."""
    return Path(os.environ["EDGEDISTILL_BUNDLE"])


def test_it_predicts_without_torch(bundle):
    from edgedistill import runtime

    with runtime.load(bundle) as predictor:
        assert "red" in predictor.predict(bundle / "selftest" / "red.jpg")[0].labels
    assert "torch" not in sys.modules


def test_selftest_bench_report_and_an_app_without_torch(bundle, tmp_path):
    assert command("selftest", str(bundle), "-a", "ort-fp32").returncode == 0
    assert command("bench", str(bundle), "-a", "ort-fp32", "--preset", "demo").returncode == 0
    assert command("report", str(bundle)).returncode == 0
    assert command("app", "node", str(bundle), "-o", str(tmp_path / "app")).returncode == 0
    assert "Observable" in (bundle / "report.html").read_text(encoding="utf-8")
