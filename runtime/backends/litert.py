"""LiteRT (TensorFlow Lite): Android's and other devices' CPUs, through its XNNPACK delegate."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import BundleError, ConfigError
from ..tensors import TensorSpec
from .base import BACKENDS, Backend, cannot_load, not_importable
from .litert_facts import read_litert


@BACKENDS.register("litert")
class LiteRtBackend(Backend):
    """Runs a .tflite file in its own precision, with the batch that is fixed in it where one is.

    Inputs and outputs have the names of the file's signature; without one, those of its tensors. Without `threads`
    LiteRT takes one. `effective["delegate"]` says whether XNNPACK computes, as it does on Android.
    """

    extra = "litert"
    distributions = ("ai-edge-litert",)
    devices = ("cpu",)
    suffixes = (".tflite",)

    @classmethod
    def library(cls) -> ModuleType:
        try:
            import ai_edge_litert
            import ai_edge_litert.interpreter
        except ImportError as error:
            raise not_importable("ai_edge_litert", cls.extra, error) from error
        return ai_edge_litert

    def convolutions(self) -> list[tuple[str, str]]:
        """From the file: LiteRT and XNNPACK compute each operator in its tensors' types."""
        return read_litert(self.model.files[0].read()).convolutions

    def _load(self) -> None:
        library: Any = self.library()
        if self.device.lower() not in self.devices:
            raise ConfigError(f"unknown litert device {self.device!r}: only {', '.join(self.devices)}.")
        data = self.model.files[0].read()
        self._interpreter = start(data, num_threads=self.threads)
        try:
            facts = read_litert(data)
        except ValueError as error:
            raise cannot_load(self.model, library, error) from error
        inputs, outputs = self._named()
        self._places = {name: int(detail["index"]) for name, detail in {**inputs, **outputs}.items()}
        self._shapes = {name: tuple(map(int, detail["shape"])) for name, detail in inputs.items()}
        self.inputs = tuple(_spec(name, detail) for name, detail in inputs.items())
        self.outputs = tuple(_spec(name, detail) for name, detail in outputs.items())
        self.metadata = facts.metadata
        self.effective = {
            "library": f"{library.__name__} {_version(library)}",
            "delegate": self._delegate(),
            "precision": facts.precision,
            "threads": str(self.threads or "1 (library default)"),
        }

    def _named(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The tensors' details by the names that they are known by outside."""
        signatures = list(self._interpreter.get_signature_list())
        if len(signatures) > 1:
            raise BundleError(
                f"{self.model.name}: has {len(signatures)} signatures ({', '.join(signatures)}): an image classifier "
                "has one. Export it again."
            )
        if signatures:
            runner = self._interpreter.get_signature_runner(signatures[0])
            return runner.get_input_details(), runner.get_output_details()
        details = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        inputs, outputs = ({detail["name"]: detail for detail in listed} for listed in details)
        return inputs, outputs

    def _delegate(self) -> str:
        """The only delegate is XNNPACK, which builds without it lack."""
        operators = self._interpreter._get_ops_details()
        return "XNNPACK" if any(operator["op_name"] == "DELEGATE" for operator in operators) else "none"

    def _run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, array in feeds.items():
            if self._shapes[name] != array.shape:
                self._interpreter.resize_tensor_input(self._places[name], array.shape, strict=True)
                self._interpreter.allocate_tensors()
                self._shapes[name] = array.shape
            self._interpreter.set_tensor(self._places[name], array)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(self._places[name]) for name in self._wanted()}

    def _close(self) -> None:
        self._interpreter = None


def start(data: bytes, **options: Any) -> Any:
    """An Interpreter of a .tflite file, ready to run."""
    library: Any = LiteRtBackend.library()
    with _greeting_kept_back():
        interpreter = library.interpreter.Interpreter(model_content=data, **options)
        interpreter.allocate_tensors()
    return interpreter


def _version(library: Any) -> str:
    from importlib import metadata

    return getattr(library, "__version__", None) or metadata.version("ai-edge-litert")


def _spec(name: str, detail: dict[str, Any]) -> TensorSpec:
    """An interpreter's details of a tensor; a dimension that may change is called "?"."""
    signature = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    shape = tuple("?" if size < 0 else int(size) for size in signature)
    return TensorSpec(name=name, dtype=np.dtype(detail["dtype"]).name, shape=shape)


@contextlib.contextmanager
def _greeting_kept_back() -> Iterator[None]:
    """LiteRT writes one line to standard error when it first takes its delegate, and has no setting for that.

    It is left out on a terminal, where it would tear tables and progress; all else that was written meanwhile follows.
    Elsewhere nothing is held back: a process that crashes here leaves its last words in a log or to its parent.
    """
    if not os.isatty(2):
        yield
        return
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if line.strip() != _GREETING:
                    os.write(2, line)


_GREETING = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
