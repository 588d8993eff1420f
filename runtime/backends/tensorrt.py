"""TensorRT: the classic one (JetPack, NVIDIA's index) and TensorRT-RTX, with one code path."""

import importlib
import math
import re
from types import ModuleType
from typing import Any

import numpy as np

from .. import cuda
from ..errors import BundleError, ConfigError, MissingDependencyError
from ..tensors import TensorSpec
from .base import BACKENDS, Backend, cannot_load, not_importable
from .model import Model
from .tensorrt_layers import convolutions_of

_FLAVOURS = ("tensorrt", "tensorrt_rtx")
# Our word, and how an engine's layer information spells it; the coarsest first.
_INSPECTED = {"int8": "Int8", "bf16": "BFloat16", "fp16": "Half", "fp32": "Float"}


@BACKENDS.register("tensorrt")
class TensorRtBackend(Backend):
    """Runs a serialised engine on an NVIDIA GPU. Device words: gpu, cuda, or either with `:index`.

    An engine holds machine code: it is deserialised only by the flavour and version that built it, on a GPU that it
    was built for. Activations live in GPU memory for the deploy config's largest batch, allocated once.
    """

    extra = "tensorrt"
    distributions = ("tensorrt", "tensorrt-rtx")
    devices = ("gpu", "cuda")

    def __init__(self, model: Model, *, threads: int | None = None, device: str = "gpu") -> None:
        self._gpu: Any = None  # a cuda.Gpu while the model is loaded
        self._memory: dict[str, int] = {}
        self._told = ""  # of the engine's layers, by its inspector
        super().__init__(model, threads=threads, device=device)

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
        trt = _flavour(self.model.details.get("flavour", "(none)"))
        self._gpu = cuda.Gpu(index)
        check_engine(self.model, trt.__name__, trt.__version__, self._gpu.compute_capability)
        messages: list[str] = []
        self._runtime = trt.Runtime(collecting_logger(trt, messages))
        self._engine = self._runtime.deserialize_cuda_engine(self.model.files[0].read())
        if self._engine is None:
            raise cannot_load(self.model, trt, " ".join(messages) or "no reason given")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise cannot_load(self.model, trt, " ".join(messages) or "no execution context: out of GPU memory?")
        self.inputs, self.outputs = _tensors(trt, self._engine)
        most = self.model.batch.max
        for spec in (*self.inputs, *(self._output(name) for name in self._wanted())):
            address = self._gpu.allocate(_bytes(spec, most))
            self._memory[spec.name] = address
            self._context.set_tensor_address(spec.name, address)
        self.effective = {
            "library": f"{trt.__name__} {trt.__version__}",
            "device": f"cuda:{index}, SM {self._gpu.compute_capability}",
            "precision": self._executed(trt),
            "threads": "not applicable",
        }

    def _executed(self, trt: Any) -> str:
        """What the engine says of its layers; engines do not always tell."""
        self._told = _inspected(trt, self._engine)
        found = [word for word, sign in _INSPECTED.items() if sign in self._told]
        built = self.model.details.get("onnx_precision", "a graph of unknown precision")
        return found[0] if found else f"not told by the engine; built from {built}"

    def convolutions(self) -> list[tuple[str, str]] | None:
        """From the engine's inspector; an engine tells where it was built to."""
        return convolutions_of(self._told)

    def _output(self, name: str) -> TensorSpec:
        return next(spec for spec in self.outputs if spec.name == name)

    def _run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        batch, count = self.model.batch, len(next(iter(feeds.values())))
        if not batch.min <= count <= batch.max:
            raise ValueError(f"the engine takes batches of {batch.min} to {batch.max}, not {count}")
        self._gpu.activate()
        for name, array in feeds.items():
            if not self._context.set_input_shape(name, array.shape):
                raise ValueError(f"the engine does not take {array.shape} for {name}")
            self._gpu.upload(self._memory[name], array)
        if not self._context.execute_async_v3(self._gpu.stream):
            raise RuntimeError(f"{self.model.name}: TensorRT could not queue the inference")
        outputs = {}
        for name in self._wanted():
            spec = self._output(name)
            outputs[name] = np.empty((count, *map(int, spec.shape[1:])), spec.dtype)
            self._gpu.download(outputs[name], self._memory[name])
        self._gpu.synchronize()
        return outputs

    def _close(self) -> None:
        if self._gpu is None:
            return
        self._gpu.activate()
        for address in self._memory.values():
            self._gpu.free(address)
        self._memory = {}
        self._context = self._engine = self._runtime = None  # in this order: each holds memory of the next
        self._gpu.close()
        self._gpu = None


def _tensors(trt: Any, engine: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The engine's own inputs and outputs."""
    found: dict[bool, list[TensorSpec]] = {True: [], False: []}
    for place in range(engine.num_io_tensors):
        name = engine.get_tensor_name(place)
        shape = tuple("?" if size < 0 else int(size) for size in engine.get_tensor_shape(name))
        dtype = str(np.dtype(trt.nptype(engine.get_tensor_dtype(name))))
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        found[is_input].append(TensorSpec(name=name, dtype=dtype, shape=shape))
    return tuple(found[True]), tuple(found[False])


def _inspected(trt: Any, engine: Any) -> str:
    """What an engine says of its layers, as JSON; empty where its library has no inspector."""
    try:
        return str(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))
    except AttributeError:
        return ""


def _bytes(spec: TensorSpec, batch: int) -> int:
    """Of a tensor whose first dimension is the batch."""
    values = math.prod(int(size) for size in spec.shape[1:])
    return batch * values * np.dtype(spec.dtype).itemsize


def check_engine(model: Model, flavour: str, version: str, compute_capability: str) -> None:
    """Refuse an engine that was not built by this library for this GPU.

    Args:
        model: its details say `flavour`, `version` and `compute_capabilities` (SM versions, or "portable").
        flavour: the library here, "tensorrt" or "tensorrt_rtx".
        version: its version.
        compute_capability: the GPU's SM version, e.g. "8.9".

    Raises:
        BundleError: says what the engine needs and what is here.
    """
    details = model.details
    built_by = f"{details.get('flavour', 'an unnamed library')} {details.get('version', 'of unknown version')}"
    if built_by != f"{flavour} {version}":
        raise BundleError(
            f"{model.name}: the engine was built by {built_by}, here is {flavour} {version}; engines load only in "
            "the version that built them. Export it on this device, or install that version."
        )
    targets = re.findall(r"\d+\.\d+", details.get("compute_capabilities", ""))
    if targets and compute_capability not in targets:
        raise BundleError(
            f"{model.name}: the engine was built for SM {', '.join(targets)}, this GPU is SM {compute_capability}: "
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
