"""TensorRT: the classic one (JetPack, NVIDIA's index) and TensorRT-RTX, with one code path."""

import importlib
import re
from types import ModuleType
from typing import Any

import numpy as np

from .. import cuda
from ..bundle import Artifact
from ..errors import BundleError, ConfigError, MissingDependencyError
from .base import BACKENDS, Backend, cannot_load, not_importable

_FLAVOURS = ("tensorrt", "tensorrt_rtx")


@BACKENDS.register("tensorrt")
class TensorRtBackend(Backend):
    """Runs a serialised engine on an NVIDIA GPU. Device words: gpu, cuda, or either with `:index`.

    An engine holds machine code: it is deserialised only by the flavour and version that built it, on a GPU that it
    was built for. Activations live in GPU memory for the deploy config's largest batch, allocated once.
    """

    extra = "tensorrt"

    @classmethod
    def library(cls) -> ModuleType:
        """The classic `tensorrt` where it is installed, else `tensorrt_rtx`; a GPU must be present as well."""
        if cuda.device_count() == 0:
            raise MissingDependencyError("the NVIDIA driver lists no GPU: TensorRT engines run on an NVIDIA GPU only.")
        try:
            return _flavour(_FLAVOURS[0])
        except MissingDependencyError:
            return _flavour(_FLAVOURS[1])

    def _load(self) -> None:
        index = _device_index(self.device)
        details = self.artifact.details
        self._gpu = cuda.Gpu(index)
        trt = _flavour(details.get("flavour", "(none)"))
        check_engine(self.artifact, trt.__name__, trt.__version__, self._gpu.compute_capability)
        path = self.bundle.path(self.artifact.files[0])
        messages: list[str] = []
        self._runtime = trt.Runtime(collecting_logger(trt, messages))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise cannot_load(path, trt, " ".join(messages) or "no reason given")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise cannot_load(path, trt, " ".join(messages) or "no execution context: out of GPU memory?")
        manifest, most = self.bundle.manifest, self.artifact.target.batch.max
        self._columns = len(manifest.classes)
        pixels = np.prod([int(size) for size in manifest.inputs[0].shape[1:]])
        sizes = {
            "image": int(most * pixels * np.dtype(manifest.inputs[0].dtype).itemsize),
            "logits": most * self._columns * 4,
            "probabilities": most * self._columns * 4,
        }
        self._memory = {name: self._gpu.allocate(size) for name, size in sizes.items()}
        for name, address in self._memory.items():
            self._context.set_tensor_address(name, address)
        self.effective = {
            "library": f"{trt.__name__} {trt.__version__}",
            "device": f"cuda:{index}, SM {self._gpu.compute_capability}",
            "precision": self.artifact.precision,
            "threads": "not applicable",
        }

    def _infer(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        batch = self.artifact.target.batch
        if not batch.min <= len(images) <= batch.max or not self._context.set_input_shape("image", images.shape):
            raise ValueError(f"the engine takes batches of {batch.min} to {batch.max}, not {len(images)}")
        logits, probabilities = (np.empty((len(images), self._columns), np.float32) for _ in range(2))
        self._gpu.activate()
        self._gpu.upload(self._memory["image"], images)
        if not self._context.execute_async_v3(self._gpu.stream):
            raise RuntimeError(f"{self.artifact.name}: TensorRT could not queue the inference")
        self._gpu.download(logits, self._memory["logits"])
        self._gpu.download(probabilities, self._memory["probabilities"])
        self._gpu.synchronize()
        return logits, probabilities

    def close(self) -> None:
        self._gpu.activate()
        for address in self._memory.values():
            self._gpu.free(address)
        del self._context, self._engine, self._runtime  # in this order: each holds memory of the next
        self._gpu.close()


def check_engine(artifact: Artifact, flavour: str, version: str, compute_capability: str) -> None:
    """Refuse an engine that was not built by this library for this GPU.

    Args:
        artifact: its details say `flavour`, `version` and `compute_capabilities` (SM versions, or "portable").
        flavour: the library here, "tensorrt" or "tensorrt_rtx".
        version: its version.
        compute_capability: the GPU's SM version, e.g. "8.9".

    Raises:
        BundleError: says what the engine needs and what is here.
    """
    details = artifact.details
    built_by = f"{details.get('flavour', 'an unnamed library')} {details.get('version', 'of unknown version')}"
    if built_by != f"{flavour} {version}":
        raise BundleError(
            f"{artifact.name}: the engine was built by {built_by}, here is {flavour} {version}; engines load only in "
            "the version that built them. Export it on this device, or install that version."
        )
    targets = re.findall(r"\d+\.\d+", details.get("compute_capabilities", ""))
    if targets and compute_capability not in targets:
        raise BundleError(
            f"{artifact.name}: the engine was built for SM {', '.join(targets)}, this GPU is SM {compute_capability}: "
            "add it to `compute_capabilities` of the deploy config and export again."
        )


def _device_index(device: str) -> int:
    match = re.fullmatch(r"(?:gpu|cuda)(?::(\d+))?", device.lower())
    if not match:
        raise ConfigError(f"unknown tensorrt device {device!r}: one of gpu, cuda, gpu:INDEX, cuda:INDEX.")
    return int(match.group(1) or 0)


def _flavour(name: str) -> ModuleType:
    if name not in _FLAVOURS:
        raise BundleError(f"unknown TensorRT flavour {name!r} in the manifest: one of {', '.join(_FLAVOURS)}.")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if name == "tensorrt":
            raise MissingDependencyError(
                "the classic tensorrt is not importable: it comes with JetPack or from NVIDIA's package index; "
                'for TensorRT-RTX engines `pip install "edgedistill[tensorrt]"`.'
            ) from error
        raise not_importable(name, TensorRtBackend.extra, error) from error


def collecting_logger(trt: Any, messages: list[str]) -> Any:
    """A logger that keeps the errors: TensorRT returns None and tells the reason only there."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                messages.append(message)

    return Logger()
