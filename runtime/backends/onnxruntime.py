"""ONNX Runtime: CPU everywhere, and whichever execution provider the installed build brings."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import numpy as np

from ..device import usable_cores
from ..errors import BundleError, ConfigError, MissingDependencyError
from ..tensors import TensorSpec
from .base import BACKENDS, Backend, cannot_load, not_importable
from .onnx_facts import OnnxFacts, read_onnx
from .ort_facts import is_ort, read_ort

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
_BROWSERS = ("wasm", "webgpu")
_TAKES_DEVICE_ID = frozenset({"cuda", "gpu", "tensorrt", "migraphx", "directml"})
_DTYPES = {"float": "float32", "double": "float64", "float16": "float16"}  # the others are called as in numpy
_FATAL_ONLY = 4  # what goes wrong comes as an exception; its echo on stderr would tear tables and JSON


@BACKENDS.register("onnxruntime")
class OnnxRuntimeBackend(Backend):
    """Runs .onnx files, and .ort files as its mobile builds do.

    Precision is the file's own; a provider that does not take effect is an error.

    Device words: cpu, cuda, gpu, tensorrt, migraphx, coreml, directml, openvino, qnn, xnnpack, with `:index` where
    there are several devices; wasm and webgpu are onnxruntime-web's, in a browser, and never here. Operators that an
    accelerator's provider lacks run on the CPU provider, which `effective["providers"]` then lists second.
    """

    extra = "onnxruntime"
    distributions = ("onnxruntime", "onnxruntime-gpu")
    devices = (*_PROVIDERS, *_BROWSERS)
    surrogate = "cpu"
    concurrent = True
    suffixes = (".onnx", ".ort")

    @classmethod
    def library(cls) -> ModuleType:
        try:
            import onnxruntime
        except ImportError as error:
            raise not_importable("onnxruntime", cls.extra, error) from error
        return onnxruntime

    def for_many(self) -> Backend:
        """On a CPU a session that has no threads for itself."""
        cores = usable_cores()
        if type(self) is not OnnxRuntimeBackend or self.device.lower() != "cpu" or (self.threads or cores) < cores:
            return self
        return OnnxRuntimeBackend(self.model, threads=1, device=self.device)

    def convolutions(self) -> list[tuple[str, str]]:
        """From the graph as this build optimises it for the provider."""
        if is_ort(data := self.model.files[0].read()):
            return read_ort(data).convolutions  # optimised already, when it was made
        with tempfile.TemporaryDirectory(prefix="edgedistill-") as private:
            optimised = Path(private) / "optimised.onnx"
            settings = self._settings()
            settings.optimized_model_filepath = str(optimised)
            self._start(settings)
            return read_onnx(optimised.read_bytes()).convolutions

    def _load(self) -> None:
        ort = self.library()
        provider, _ = _find_provider(self.device, ort)
        self._session, facts = self._start(self._settings())
        active = self._session.get_providers()
        if provider not in active:
            raise MissingDependencyError(
                f"onnxruntime lists {provider} but could not start it and fell back to {active[0]}: check the driver "
                "and its libraries, or ask for the device `cpu`."
            )
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())
        self._names = self._wanted()
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self.effective = {
            "library": f"onnxruntime {ort.__version__}",
            "providers": ", ".join(active),
            "precision": facts.precision,
            "threads": str(self.threads) if self.threads is not None else "library default",
        }

    def _settings(self) -> Any:
        settings = self.library().SessionOptions()
        settings.log_severity_level = _FATAL_ONLY
        if self.threads is not None:
            settings.intra_op_num_threads = self.threads
        return settings

    def _start(self, settings: Any) -> tuple[Any, OnnxFacts]:
        """A session of the model, and what its file says."""
        ort = self.library()
        provider, options = _find_provider(self.device, ort)
        providers = [(provider, options)]
        if provider != "CPUExecutionProvider":
            providers.append(("CPUExecutionProvider", {}))
        data = self.model.files[0].read()
        try:
            facts = read_ort(data) if is_ort(data) else read_onnx(data)
        except ValueError as error:
            raise cannot_load(self.model, ort, error) from error
        with self._source(data, facts) as source:
            session = ort.InferenceSession(source, settings, providers=providers)
        if len(providers) == 1:
            _forget_bytes(session)
        return session, facts

    @contextlib.contextmanager
    def _source(self, data: bytes, facts: OnnxFacts) -> Iterator["bytes | str"]:
        """What the session loads: the bytes that were hashed, or a private copy where weights lie in other files."""
        if not facts.external:
            yield data
            return
        main = self.model.files[0]
        folder = PurePosixPath(main.name).parent
        listed = {PurePosixPath(file.name): file for file in self.model.files[1:]}
        with tempfile.TemporaryDirectory(prefix="edgedistill-") as private:
            (Path(private) / "model.onnx").write_bytes(data)
            for location in sorted(facts.external):
                beside = PurePosixPath(location)
                file = listed.get(folder / beside)
                if file is None or ".." in beside.parts or beside.is_absolute():
                    raise BundleError(
                        f"{main.label}: wants its weights from {location!r}, which is not listed beside it: not loaded."
                    )
                copy = Path(private) / beside
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read())
            yield str(Path(private) / "model.onnx")

    @classmethod
    def companions(cls, path: Path) -> tuple[Path, ...]:
        """The .onnx or .ort file, and the files beside it that hold its weights."""
        try:
            external = sorted(read_onnx(path.read_bytes()).external)
        except ValueError:
            external = []  # what is wrong with the file is said when it is loaded
        return (path, *(path.parent / name for name in external))

    @classmethod
    def find_device(cls, device: str) -> None:
        _find_provider(device, cls.library())

    def _run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names, session = self._names, self._session
        if session is None:  # closed by another thread just now
            raise ValueError(f"{self.model.name}: is closed; load it again.")
        return dict(zip(names, session.run(names, feeds), strict=True))

    def _close(self) -> None:
        self._session = None


def _find_provider(device: str, ort: ModuleType) -> tuple[str, dict[str, Any]]:
    """The provider of a device word, and its options."""
    word, _, index = device.lower().partition(":")
    if word in _BROWSERS and not index:
        raise MissingDependencyError(
            f"the device {word!r} is a browser's, where onnxruntime-web loads the same file: open it there."
        )
    if word not in _PROVIDERS or (index and (word not in _TAKES_DEVICE_ID or not index.isdigit())):
        raise ConfigError(
            f"unknown onnxruntime device {device!r}: one of {', '.join(OnnxRuntimeBackend.devices)}; "
            f"`:index` goes with {', '.join(sorted(_TAKES_DEVICE_ID))}."
        )
    provider, package = _PROVIDERS[word]
    if provider not in ort.get_available_providers():
        raise MissingDependencyError(
            f"this onnxruntime has no {provider} for the device {device!r}: it comes with {package}. "
            f"Here: {', '.join(ort.get_available_providers())}."
        )
    return provider, ({"device_id": int(index)} if index else {})


def _spec(value: Any) -> TensorSpec:
    """Onnxruntime's NodeArg; a dimension without a name is called "?"."""
    word = value.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int | str) and size != "" else "?" for size in value.shape)
    return TensorSpec(name=value.name, dtype=_DTYPES.get(word, word), shape=shape)


def _forget_bytes(session: Any) -> None:
    """Python's part of a session keeps the file, to begin anew where its provider fails: the CPU has none behind it."""
    if getattr(session, "_model_bytes", None) is not None:
        session.disable_fallback()
        session._model_bytes = None
