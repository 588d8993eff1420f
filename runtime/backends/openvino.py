"""OpenVINO: Intel CPUs, GPUs and NPUs, and Arm CPUs."""

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import BundleError, ConfigError, MissingDependencyError
from ..tensors import TensorSpec
from .base import BACKENDS, Backend, not_importable

# What is asked of the library for each precision; an artifact of another one says by its own operators what it is.
_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
_WORDS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}
# Where nearly all of a network's arithmetic is.
_CONVOLUTIONS = ("Convolution", "GroupConvolution", "Deconvolution")
_HEAVY = (*_CONVOLUTIONS, "FullyConnected", "MatMul", "Gemm")


@BACKENDS.register("openvino")
class OpenVinoBackend(Backend):
    """Runs an IR (.xml first, then its .bin).

    The precision is pinned: OpenVINO computes in bf16 by default on CPUs that have it, which would make an "fp32" claim
    false. `effective["precision"]` is read from the graph that it executes. Where a device has no float16 arithmetic
    and would take the coarser bf16 for it, an fp16 artifact (its weights are float16) is computed in float32 instead.
    Device words are OpenVINO's own in any case: cpu, gpu, gpu.1, npu. The virtual devices (auto, hetero) are refused:
    they do not say what they run on.
    """

    extra = "openvino"
    distributions = ("openvino",)
    devices = ("cpu", "gpu", "npu")
    suffixes = (".xml",)
    hints = _HINTS
    surrogate = "cpu"

    @classmethod
    def library(cls) -> ModuleType:
        try:
            import openvino
        except ImportError as error:
            raise not_importable("openvino", cls.extra, error) from error
        return openvino

    @classmethod
    def find_device(cls, device: str) -> None:
        _find_device(cls.library().Core(), device)

    @classmethod
    def companions(cls, path: Path) -> tuple[Path, ...]:
        """The .xml file and the .bin of the same name with its weights."""
        return (path, path.with_suffix(".bin"))

    def _load(self) -> None:
        ov = self.library()
        core = ov.Core()
        device = _find_device(core, self.device)
        if len(self.model.files) < 2:
            raise ConfigError(f"{self.model.files[0].label}: an OpenVINO model needs its .bin beside its .xml.")
        network = core.read_model(*(file.read() for file in self.model.files[:2]))
        asked = self.hints.get(self.model.precision, "f32")
        self._compile(core, network, device, asked)
        if asked == "f16" and self._executed() == "bf16":
            self._compile(core, network, device, "f32")
        executed = self._executed()
        if asked == "f32" and executed != "int8" and self._hint() != "fp32":
            raise BundleError(
                f"{self.model.name}: openvino computes in {self._hint()} on {device} although fp32 was asked for: "
                "choose another device, or an artifact whose precision the device has."
            )
        self._request = self._compiled.create_infer_request()
        self.inputs = tuple(_spec(port) for port in self._compiled.inputs)
        self.outputs = tuple(_spec(port) for port in self._compiled.outputs)
        self.metadata = _metadata(network)
        self.effective = {
            "library": f"openvino {ov.__version__.partition('-')[0]}",
            "device": self._property("EXECUTION_DEVICES"),
            "precision": executed,
            "threads": self._property("INFERENCE_NUM_THREADS"),
        }

    def _compile(self, core: Any, network: Any, device: str, precision: str) -> None:
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        if self.threads is not None:
            options["INFERENCE_NUM_THREADS"] = str(self.threads)
        self._compiled = core.compile_model(network, device, options)

    def _executed(self) -> str:
        """The precision of most of the heavy layers in the graph that is executed; the property where it shows none."""
        found = Counter(precision for _, kind, precision in self._layers() if kind in _HEAVY)
        return found.most_common(1)[0][0] if found else self._hint()

    def convolutions(self) -> list[tuple[str, str]] | None:
        """From the graph that is executed; None where the device does not show it."""
        layers = self._layers()
        if not layers:
            return None
        return [
            (name, "int8" if precision == "int8" else "float")
            for name, kind, precision in layers
            if kind in _CONVOLUTIONS
        ]

    def _layers(self) -> list[tuple[str, str, str]]:
        """(name, kind, precision) of what is executed, in order; empty where the device does not show its graph."""
        try:
            operators = self._compiled.get_runtime_model().get_ordered_ops()
            facts = [(operator.get_friendly_name(), operator.get_rt_info()) for operator in operators]
            return [
                (name, info["layerType"].astype(str), _word(info["runtimePrecision"].astype(str)))
                for name, info in facts
            ]
        except (RuntimeError, KeyError):
            return []

    def _hint(self) -> str:
        return _word(self._property("INFERENCE_PRECISION_HINT"))

    def _property(self, name: str) -> str:
        """What the compiled model says; not every device has every property."""
        try:
            value = self._compiled.get_property(name)
        except RuntimeError:
            return "not reported"
        if isinstance(value, list | tuple | set):
            return ", ".join(map(str, value))
        return value.to_string() if hasattr(value, "to_string") else str(value)

    def _run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._request.infer(feeds, share_inputs=True)
        return {name: np.array(self._request.get_tensor(name).data) for name in self._wanted()}

    def _close(self) -> None:
        self._request = self._compiled = None


def _find_device(core: Any, word: str) -> str:
    """OpenVINO's own spelling of a device word."""
    device = word.upper()
    known = {name.partition(".")[0] for name in core.available_devices} | set(core.available_devices)
    if device not in known:
        raise MissingDependencyError(
            f"openvino finds no device {device} here, only {', '.join(sorted(known))}: install its driver, or ask "
            "for the device `cpu`."
        )
    return device


def _word(precision: str) -> str:
    return _WORDS.get(precision, precision)


def _metadata(network: Any) -> dict[str, str]:
    """The texts of `rt_info` in the .xml, by their path, e.g. "edgedistill.classes"."""
    found: dict[str, str] = {}
    for section in network.get_rt_info():
        entries = network.get_rt_info([section]).value
        if isinstance(entries, dict):
            found |= {f"{section}.{key}": value for key, value in entries.items() if isinstance(value, str)}
    return found


def _spec(port: Any) -> TensorSpec:
    shape = tuple("?" if size.is_dynamic else size.get_length() for size in port.get_partial_shape())
    name = port.get_any_name() if port.get_names() else "?"
    return TensorSpec(name=name, dtype=str(np.dtype(port.get_element_type().to_dtype())), shape=shape)
