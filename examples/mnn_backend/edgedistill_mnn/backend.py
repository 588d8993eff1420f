"""Runs .mnn files; needs MNN and numpy, no torch."""

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from edgedistill.runtime.backends.base import BACKENDS, Backend
from edgedistill.runtime.errors import MissingDependencyError
from edgedistill.runtime.tensors import TensorSpec

_DEFAULT_THREADS = 4


@BACKENDS.register("mnn")
class MnnBackend(Backend):
    """Runs on the CPU, in float32.

    The file gives logits alone: of a graph that gives both, MNN 3.6 computes the sigmoid in the logits' own memory and
    returns probabilities twice. The last step is therefore taken here.
    """

    extra = "mnn"
    distributions = ("MNN", "edgedistill-mnn")
    devices = ("cpu",)
    suffixes = (".mnn",)

    @classmethod
    def library(cls) -> ModuleType:
        try:
            with _stdout_to_stderr():
                import MNN.expr
                import MNN.nn
        except ImportError as error:
            raise MissingDependencyError(f"MNN cannot be imported ({error}): `pip install MNN`.") from error
        return MNN

    def _load(self) -> None:
        mnn = self.library()
        threads = self.threads or _DEFAULT_THREADS
        settings = {"backend": "CPU", "precision": "high", "numThread": threads}
        with tempfile.TemporaryDirectory() as folder, _stdout_to_stderr():
            path = Path(folder, "model.mnn")  # MNN opens files alone
            path.write_bytes(self.model.files[0].read())
            self._runtime = mnn.nn.create_runtime_manager((settings,))
            probe = mnn.nn.load_module_from_file(str(path), [], [], runtime_manager=self._runtime)
            facts = probe.get_info()
            self._net = mnn.nn.load_module_from_file(
                str(path), facts["inputNames"], facts["outputNames"], runtime_manager=self._runtime
            )
        (image,) = facts["inputs"]
        (name,) = facts["inputNames"]
        dtype = "uint8" if image.dtype == mnn.expr.uint8 else "float32"
        self.inputs = (TensorSpec(name=name, dtype=dtype, shape=("batch", *image.shape[1:])),)
        classes = self._logits(np.zeros((1, *image.shape[1:]), dtype)).shape[1]
        self.outputs = tuple(
            TensorSpec(name=name, dtype="float32", shape=("batch", classes)) for name in ("logits", "probabilities")
        )
        self.effective = {
            "library": f"MNN {mnn.version()}",
            "device": "cpu",
            "precision": "fp32",
            "threads": str(threads),
        }

    def _run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        logits = self._logits(feeds[self.inputs[0].name])
        outputs = {"logits": logits, "probabilities": 1 / (1 + np.exp(-logits))}
        return {name: outputs[name] for name in self._wanted()}

    def _logits(self, images: np.ndarray) -> np.ndarray:
        expr = self.library().expr
        dtype = expr.uint8 if images.dtype == np.uint8 else expr.float
        (found,) = self._net.forward([expr.const(images, list(images.shape), expr.NCHW, dtype)])
        return np.array(found.read(), np.float32).reshape(len(images), -1)

    def _close(self) -> None:
        self._net = self._runtime = None


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """MNN prints what the CPU has to standard output, where `--json` promises JSON alone."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
