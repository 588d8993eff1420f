"""The names that users rely on, below `edgedistill.`; heavy libraries load only with the part that needs them."""

import subprocess
import sys

import numpy as np
import pytest

import edgedistill
from edgedistill.distill import losses


def test_subpackages_come_on_access():
    assert edgedistill.distill.build_model("shufflenetv2", 3, width=0.5).num_classes == 3
    assert edgedistill.distill.build_method("mdkd", lambda_mld=5.0).lambda_mld == 5.0
    assert callable(edgedistill.distill.load_student)
    assert [len(part) for part in edgedistill.distill.partition_labels(np.eye(4, dtype=np.int8), 2, "random")] == [2, 2]
    assert callable(edgedistill.export.reparameterize)
    assert callable(edgedistill.export.export_bundle)
    for name in ("load", "verify", "benchmark", "compare", "selftest", "open_bundle"):
        assert callable(getattr(edgedistill.runtime, name))
    assert callable(edgedistill.runtime.metrics.evaluate)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgedistill.nothing  # noqa: B018


def test_losses():
    for name in ("bce", "mld", "mse", "partial_softmax", "asymmetric", "class_aware", "instance_aware"):
        assert callable(getattr(losses, name))
    assert callable(losses.batch_dependency)
    assert callable(losses.instance_dependency)


def test_the_command_line_starts_without_torch():
    code = "import sys, edgedistill.cli; print(sorted({'torch', 'onnx', 'timm', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
