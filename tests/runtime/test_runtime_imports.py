import subprocess
import sys

import pytest

HEAVY = (
    *("torch", "onnx", "timm", "sklearn", "torchvision"),
    *("onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "ai_edge_litert"),
    *("cryptography", "fastapi", "pydantic", "uvicorn", "prometheus_client"),
)


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    "statement",
    [
        "import edgedistill.runtime",
        "from edgedistill.runtime import *",
        "import edgedistill.runtime.bench.worker, edgedistill.runtime.backends.tensorrt",
        "import edgedistill.runtime.serving.running, edgedistill.runtime.bundle.signing",
        "from edgedistill.runtime.backends.base import BACKENDS; BACKENDS.names()",
        "from edgedistill.runtime.datasets import FORMATS; FORMATS.names()",
        "import edgedistill.runtime.report.writing",
        "from edgedistill.export.packages import PACKAGES; PACKAGES.names(); import edgedistill.export.uploading",
    ],
)
def test_nothing_heavy_is_imported(statement):
    assert run(f"import sys; {statement}; print([name for name in {HEAVY} if name in sys.modules])") == "[]"


def test_loading_a_model_imports_nothing_large_that_it_does_not_need(tiny_bundle):
    """Megabytes each, on devices that have few: benchmarks/predict.py measures the sum."""
    needless = ("asyncio", "numpy.random", "yaml", "importlib.metadata", "email", "rich", "edgedistill.runtime.parity")
    load = f"from edgedistill import runtime; runtime.load({str(tiny_bundle)!r}, name='ort-fp32')"
    without = "import sys, numpy; before = set(sys.modules)"  # numpy 1 imports all that it has
    assert run(f"{without}; {load}; print([name for name in {needless} if name in {{*sys.modules}} - before])") == "[]"


def test_importing_the_package_imports_not_even_numpy():
    assert run("import sys, edgedistill.runtime; print('numpy' in sys.modules)") == "False"


@pytest.mark.parametrize(
    "before",
    [
        "pass",
        "import edgedistill.runtime.parity.verifying, edgedistill.runtime.parity.selftesting",
        "from edgedistill.runtime.parity import verify, selftest",
        "from edgedistill.runtime import *",
    ],
)
def test_verify_and_selftest_are_always_the_functions(before):
    code = f"{before}\nfrom edgedistill import runtime\nfrom edgedistill.runtime import verify\n"
    code += "print(runtime.verify.__name__, runtime.selftest.__name__, verify is runtime.verify, callable(verify))"
    assert run(code) == "verify selftest True True"


def test_every_public_name_exists_and_is_listed():
    from edgedistill import runtime

    for name in runtime.__all__:
        assert getattr(runtime, name) is not None
    assert set(runtime.__all__) <= set(dir(runtime))
    assert runtime.metrics.evaluate
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = runtime.nope
