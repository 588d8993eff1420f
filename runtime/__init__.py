"""What ships: bundles, predictors, metrics, parity and benchmarks with numpy, Pillow, msgspec and one backend.

    from edgedistill import runtime
    runtime.load("bundle").predict("photo.jpg")[0].labels

Everything is imported on first access, so that importing this package costs next to nothing.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import datasets, metrics
    from .bench.report import BenchReport
    from .bench.running import benchmark
    from .bundle import Bundle, open_bundle, zip_bundle
    from .datasets import Dataset, open_dataset
    from .device import Device, describe_device, device_slug
    from .errors import EdgedistillError
    from .parity import ParityReport
    from .predictor import Prediction, Predictor, load
    from .selftest import SelfTestReport, selftest
    from .verdicts import Judgement
    from .verify import verify

__all__ = [
    "BenchReport",
    "Bundle",
    "Dataset",
    "Device",
    "EdgedistillError",
    "Judgement",
    "ParityReport",
    "Prediction",
    "Predictor",
    "SelfTestReport",
    "benchmark",
    "datasets",
    "describe_device",
    "device_slug",
    "load",
    "metrics",
    "open_bundle",
    "open_dataset",
    "selftest",
    "verify",
    "zip_bundle",
]

_HOME = {
    "BenchReport": "bench.report",
    "Bundle": "bundle",
    "Dataset": "datasets",
    "Device": "device",
    "EdgedistillError": "errors",
    "Judgement": "verdicts",
    "ParityReport": "parity",
    "Prediction": "predictor",
    "Predictor": "predictor",
    "SelfTestReport": "selftest",
    "benchmark": "bench.running",
    "describe_device": "device",
    "device_slug": "device",
    "load": "predictor",
    "open_bundle": "bundle",
    "open_dataset": "datasets",
    "selftest": "selftest",
    "verify": "verify",
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


class _Package(ModuleType):
    """Keeps `runtime.verify` and `runtime.selftest` the functions: Python's import of a submodule of the same name
    would put the module there, so that what `runtime.verify` means would depend on who imported what before.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
