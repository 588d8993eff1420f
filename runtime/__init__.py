"""What ships: bundles, predictors, metrics, parity and benchmarks with numpy, Pillow, msgspec and one backend.

    from edgedistill import runtime
    runtime.load("bundle").predict("photo.jpg")[0].labels

Everything is imported on first access, so that importing this package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import datasets, metrics
    from .batches import SkippedImage
    from .bench.report import BenchReport
    from .bench.running import benchmark
    from .bundle import Bundle, open_bundle, zip_bundle
    from .comparison import Comparison, compare
    from .datasets import Dataset, open_dataset
    from .device import Device, describe_device, device_slug
    from .errors import EdgedistillError
    from .explanation import Explanation
    from .field import CheckReport, check
    from .model_file import load_file
    from .parity import ParityReport, SelfTestReport, selftest, verify
    from .predictor import Prediction, Predictor, load
    from .report import write_report
    from .verdicts import Judgement

__all__ = [
    "BenchReport",
    "Bundle",
    "CheckReport",
    "Comparison",
    "Dataset",
    "Device",
    "EdgedistillError",
    "Explanation",
    "Judgement",
    "ParityReport",
    "Prediction",
    "Predictor",
    "SelfTestReport",
    "SkippedImage",
    "benchmark",
    "check",
    "compare",
    "datasets",
    "describe_device",
    "device_slug",
    "load",
    "load_file",
    "metrics",
    "open_bundle",
    "open_dataset",
    "selftest",
    "verify",
    "write_report",
    "zip_bundle",
]

_HOME = {
    "BenchReport": "bench.report",
    "Bundle": "bundle",
    "CheckReport": "field",
    "Comparison": "comparison",
    "Dataset": "datasets",
    "Device": "device",
    "EdgedistillError": "errors",
    "Explanation": "explanation",
    "Judgement": "verdicts",
    "ParityReport": "parity",
    "Prediction": "predictor",
    "Predictor": "predictor",
    "SelfTestReport": "parity",
    "SkippedImage": "batches",
    "benchmark": "bench.running",
    "check": "field",
    "compare": "comparison",
    "describe_device": "device",
    "device_slug": "device",
    "load": "predictor",
    "load_file": "model_file",
    "open_bundle": "bundle",
    "open_dataset": "datasets",
    "selftest": "parity",
    "verify": "parity",
    "write_report": "report",
    "zip_bundle": "bundle",
}
_MODULES = frozenset({"datasets", "metrics"})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
