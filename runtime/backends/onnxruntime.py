"""ONNX Runtime: CPU everywhere, and whichever execution provider the installed build brings."""

from types import ModuleType
from typing import Any

import numpy as np

from ..errors import ConfigError, MissingDependencyError
from .base import BACKENDS, Backend, cannot_load, not_importable

# Device word -> provider, and the package whose build brings it.
_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "gpu": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "migraphx": ("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime, on macOS"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "qnn": ("QNNExecutionProvider", "onnxruntime-qnn"),
    "xnnpack": ("XnnpackExecutionProvider", "an onnxruntime built with XNNPACK"),
}
_TAKES_DEVICE_ID = frozenset({"cuda", "gpu", "tensorrt", "migraphx", "directml"})
_ERRORS_ONLY = 3


@BACKENDS.register("onnxruntime")
class OnnxRuntimeBackend(Backend):
    """Runs .onnx files. Precision is the file's own; a provider that does not take effect is an error.

    Device words: cpu, cuda, gpu, tensorrt, migraphx, coreml, directml, openvino, qnn, xnnpack, with `:index` where
    there are several devices. Operators that an accelerator's provider lacks run on the CPU provider, which
    `effective["providers"]` then lists second.
    """

    extra = "onnxruntime"

    @classmethod
    def library(cls) -> ModuleType:
        try:
            import onnxruntime
        except ImportError as error:
            raise not_importable("onnxruntime", cls.extra, error) from error
        return onnxruntime

    def _load(self) -> None:
        ort = self.library()
        provider, options = self._provider(ort)
        settings = ort.SessionOptions()
        settings.log_severity_level = _ERRORS_ONLY
        if self.threads is not None:
            settings.intra_op_num_threads = self.threads
        providers = [(provider, options)]
        if provider != "CPUExecutionProvider":
            providers.append(("CPUExecutionProvider", {}))
        path = self.bundle.path(self.artifact.files[0])
        try:
            self._session = ort.InferenceSession(str(path), settings, providers=providers)
        except Exception as error:
            raise cannot_load(path, ort, error) from error
        active = self._session.get_providers()
        if provider not in active:
            raise MissingDependencyError(
                f"onnxruntime lists {provider} but could not start it and fell back to {active[0]}: check the driver "
                "and its libraries, or ask for the device `cpu`."
            )
        self.effective = {
            "library": f"onnxruntime {ort.__version__}",
            "providers": ", ".join(active),
            "precision": self.artifact.precision,
            "threads": str(self.threads) if self.threads is not None else "library default",
        }

    def _provider(self, ort: ModuleType) -> tuple[str, dict[str, Any]]:
        word, _, index = self.device.lower().partition(":")
        if word not in _PROVIDERS or (index and (word not in _TAKES_DEVICE_ID or not index.isdigit())):
            raise ConfigError(
                f"unknown onnxruntime device {self.device!r}: one of {', '.join(_PROVIDERS)}; "
                f"`:index` goes with {', '.join(sorted(_TAKES_DEVICE_ID))}."
            )
        provider, package = _PROVIDERS[word]
        if provider not in ort.get_available_providers():
            raise MissingDependencyError(
                f"this onnxruntime has no {provider} for the device {self.device!r}: it comes with {package}. "
                f"Here: {', '.join(ort.get_available_providers())}."
            )
        return provider, ({"device_id": int(index)} if index else {})

    def _infer(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, probabilities = self._session.run(["logits", "probabilities"], {"image": images})
        return logits, probabilities

    def close(self) -> None:
        del self._session
