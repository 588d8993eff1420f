"""OpenVINO: Intel CPUs, GPUs and NPUs, and Arm CPUs."""

from types import ModuleType

import numpy as np

from ..errors import BundleError, MissingDependencyError
from .base import BACKENDS, Backend, cannot_load, not_importable

_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}


@BACKENDS.register("openvino")
class OpenVinoBackend(Backend):
    """Runs an IR (.xml first, then its .bin).

    The precision is pinned: OpenVINO computes in bf16 by default on CPUs that have it, which would make an "fp32"
    claim false. `effective["precision"]` is what the compiled model reports. Device words are OpenVINO's own in any
    case: cpu, gpu, gpu.1, npu. The virtual devices (auto, hetero) are refused: they do not say what they run on.
    """

    extra = "openvino"

    @classmethod
    def library(cls) -> ModuleType:
        try:
            import openvino
        except ImportError as error:
            raise not_importable("openvino", cls.extra, error) from error
        return openvino

    def _load(self) -> None:
        ov = self.library()
        core = ov.Core()
        device = self.device.upper()
        known = {name.partition(".")[0] for name in core.available_devices} | set(core.available_devices)
        if device not in known:
            raise MissingDependencyError(
                f"openvino finds no device {device} here, only {', '.join(sorted(known))}: install its driver, or ask "
                "for the device `cpu`."
            )
        asked = _HINTS[self.artifact.precision]
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": asked}
        if self.threads is not None:
            options["INFERENCE_NUM_THREADS"] = str(self.threads)
        paths = [self.bundle.path(entry) for entry in self.artifact.files]
        try:
            model = core.read_model(*map(str, paths))
            self._compiled = core.compile_model(model, device, options)
        except Exception as error:
            raise cannot_load(paths[0], ov, error) from error
        self._request = self._compiled.create_infer_request()
        got = self._property("INFERENCE_PRECISION_HINT")
        if asked == "f32" and got != "f32":
            raise BundleError(
                f"{self.artifact.name}: openvino reports the precision {got!r} on {device} although f32 was asked for: "
                "choose another device, or an artifact whose precision the device has."
            )
        self.effective = {
            "library": f"openvino {ov.__version__.partition('-')[0]}",
            "device": self._property("EXECUTION_DEVICES"),
            "precision": got,
            "threads": self._property("INFERENCE_NUM_THREADS"),
        }

    def _property(self, name: str) -> str:
        """What the compiled model says; not every device has every property."""
        try:
            value = self._compiled.get_property(name)
        except RuntimeError:
            return "not reported"
        if isinstance(value, list | tuple | set):
            return ", ".join(map(str, value))
        return value.to_string() if hasattr(value, "to_string") else str(value)

    def _infer(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._request.infer({"image": images}, share_inputs=True)
        logits, probabilities = (np.array(self._request.get_tensor(name).data) for name in ("logits", "probabilities"))
        return logits, probabilities

    def close(self) -> None:
        del self._request, self._compiled
