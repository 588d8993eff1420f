"""Core ML, on macOS."""

import platform
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from ..errors import BundleError, ConfigError, MissingDependencyError
from ..tensors import TensorSpec
from .base import BACKENDS, Backend, not_importable
from .model import Model

_UNITS = {"cpu": "CPU_ONLY", "gpu": "CPU_AND_GPU", "npu": "CPU_AND_NE", "all": "ALL"}
_SUFFIX = ".mlpackage"
_TYPES = {"FLOAT32": "float32", "FLOAT16": "float16", "DOUBLE": "float64", "INT32": "int32"}


@BACKENDS.register("coreml")
class CoreMlBackend(Backend):
    """Runs an .mlpackage, whose files a bundle lists one by one: the .mlmodel first.

    Where the package takes a picture, or float32 instead of uint8, pixels are handed over as such. Device words: cpu,
    gpu, npu (the Neural Engine), all; Core ML itself decides what runs where among those that it is given.
    """

    extra = "coreml"
    distributions = ("coremltools",)
    devices = tuple(_UNITS)

    def __init__(self, model: Model, *, threads: int | None = None, device: str = "all") -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        super().__init__(model, threads=threads, device=device)

    @classmethod
    def library(cls) -> ModuleType:
        if sys.platform != "darwin":
            raise MissingDependencyError(
                "Core ML predicts on Apple's systems only, and this is none: verify it on a Mac, or in the phone's app."
            )
        try:
            import coremltools
        except ImportError as error:
            raise not_importable("coremltools", cls.extra, error) from error
        return coremltools

    @classmethod
    def find_device(cls, device: str) -> None:
        if device not in _UNITS:
            raise ConfigError(f"unknown coreml device {device!r}: one of {', '.join(_UNITS)}.")

    def _load(self) -> None:
        ct: Any = self.library()
        self.find_device(self.device)
        self._folder = tempfile.TemporaryDirectory(prefix="edgedistill-")  # Core ML opens folders alone
        package = self._write(Path(self._folder.name))
        self._model = ct.models.MLModel(str(package), compute_units=getattr(ct.ComputeUnit, _UNITS[self.device]))
        description = self._model.get_spec().description
        (given,) = description.input
        self._takes_picture = given.type.WhichOneof("Type") == "imageType"
        self.inputs = (self._input(given),)
        listed = {spec.name: spec for spec in self.model.outputs}
        self.outputs = tuple(
            _array(feature, self.model.batch.fixed, listed.get(feature.name)) for feature in description.output
        )
        self.effective = {
            "library": f"coremltools {ct.__version__}, macOS {platform.mac_ver()[0]}",
            "device": _UNITS[self.device],
            "precision": f"{self.model.precision} or finer, as Core ML decides",
            "threads": "not told",
        }

    def _write(self, folder: Path) -> Path:
        """The package's files, each as its hash says, in a folder."""
        for file in self.model.files:
            _, suffix, tail = file.name.partition(f"{_SUFFIX}/")
            if not suffix or ".." in Path(tail).parts:
                raise BundleError(f"{file.label}: is no file of an {_SUFFIX}.")
            path = folder / f"model{_SUFFIX}" / tail
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read())
        return folder / f"model{_SUFFIX}"

    def _input(self, feature: Any) -> TensorSpec:
        """As it is fed here: a picture is uint8 pixels, and so is an array where the manifest says so."""
        if self._takes_picture:
            picture = feature.type.imageType
            return TensorSpec(name=feature.name, dtype="uint8", shape=(1, picture.height, picture.width, 3))
        spec = _array(feature, self.model.batch.fixed)
        listed = self.model.inputs[0].dtype if self.model.inputs else spec.dtype
        return TensorSpec(name=spec.name, dtype="uint8" if listed == "uint8" else spec.dtype, shape=spec.shape)

    def _run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        ((name, pixels),) = feeds.items()
        given = Image.fromarray(pixels[0]) if self._takes_picture else pixels.astype(np.float32)
        found = self._model.predict({name: given})
        return {wanted: np.array(found[wanted], np.float32) for wanted in self._wanted()}

    def _close(self) -> None:
        self._model = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _array(feature: Any, batch: int | None, listed: TensorSpec | None = None) -> TensorSpec:
    """A multi-array's specification; of a flexible one the file lists the usual shape, or none: then as is `listed`."""
    array = feature.type.multiArrayType
    shape: tuple[int | str, ...] = tuple(map(int, array.shape))
    if not shape:
        shape = listed.shape if listed is not None else ("batch", "?")
    elif batch is None:
        shape = ("batch", *shape[1:])
    dtype = _TYPES.get(array.ArrayDataType.Name(array.dataType), "unknown")
    return TensorSpec(name=feature.name, dtype=dtype, shape=shape)
