"""Named conversions: each turns the network, or what another conversion made of it, into a file."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.bundle import InputKind
from ...runtime.errors import EdgedistillError
from ...runtime.registry import Registry
from ...runtime.targets import Gates
from ...runtime.tensors import BatchRange, TensorSpec
from ..errors import ExportError
from ..signature import allowed_batch

if TYPE_CHECKING:  # they need torch, and a builder's facts do not
    from ..graph import DeployGraph
    from ..probes import Probes
    from ..quantization.calibration import CalibrationImages
    from ..sources.base import Source


@dataclass(frozen=True)
class Converted:
    """A conversion's result.

    Attributes:
        path: the file, in the scratch folder.
        details: for the manifest of every artifact that is made of it.
    """

    path: Path
    details: dict[str, str] = field(default_factory=dict)


@dataclass
class Ingredients:
    """What conversions and builders work with. Each conversion is tried once, when it is first asked for by its name.

    Threads may ask at once: who asks for what another is making waits for it.

    Attributes:
        root: the bundle's folder, where a builder puts its files.
        scratch: a folder for intermediates, which does not ship.
        source: the network.
        input: what its graph takes.
        probes: what every file is compared with.
        facts: what every file says of itself, see `encode_facts`: the metadata of its format holds it.
        opset: the operator set that ONNX files are written in; None for PyTorch's default.
        calibration: images for quantisers; None where no target needs them.
        int8_limits: the strictest gates of the int8 targets, which accuracy recovery works towards.
        say: told what a long conversion is at.
    """

    root: Path
    scratch: Path
    source: "Source"
    input: InputKind
    probes: "Probes"
    facts: Mapping[str, str] = field(default_factory=dict)
    opset: int | None = None
    calibration: "CalibrationImages | None" = None
    int8_limits: Gates = field(default_factory=Gates)
    say: Callable[[str], None] = lambda text: None
    _done: dict[str, Converted] = field(default_factory=dict, init=False)
    _failed: dict[str, EdgedistillError] = field(default_factory=dict, init=False)
    _locks: dict[str, threading.RLock] = field(default_factory=dict, init=False)

    @property
    def image(self) -> TensorSpec:
        """The graph's input."""
        return self.source.image(self.input)

    @property
    def batch(self) -> BatchRange:
        """The batch sizes that the graph takes."""
        return allowed_batch(self.image, BatchRange())

    @property
    def graph(self) -> "DeployGraph":
        """The module to trace, for conversions from PyTorch.

        Raises:
            ExportError: the network is an ONNX file.
        """
        return self.source.graph(self.input)

    @property
    def calibration_images(self) -> "CalibrationImages":
        """For quantisers.

        Raises:
            ExportError: none are given.
        """
        if self.calibration is None:
            raise ExportError("int8 is calibrated on training images, and none are given: add --calibration DATA.")
        return self.calibration

    @property
    def calibration_folder(self) -> Path:
        """Where processes of their own read the calibration images, see `stored_images`; written when first asked for.

        Raises:
            ExportError: none are given.
        """
        folder = self.scratch / "calibration"
        with self._lock(str(folder)):
            if not folder.exists():
                self.calibration_images.store(folder)
        return folder

    def trace(self) -> None:
        """Trace a network of PyTorch in this thread, before others use it: tracing exchanges its tensors."""
        with contextlib.suppress(EdgedistillError):
            _ = self.graph  # of an ONNX file there is none
            self.get("torch.exported")  # why it fails is remembered, for those who need it

    def get(self, name: str) -> Converted:
        """The result of the conversion `name`, e.g. "onnx.fp32".

        Raises:
            ConfigError: there is no such conversion.
            MissingDependencyError: its toolchain is not installed; names the extra.
            ExportError: the toolchain refuses the graph; says why in its own words.
        """
        return self.once(name, lambda: CONVERSIONS.get(name)(self))

    def once(self, name: str, make: Callable[[], Converted]) -> Converted:
        """What `make` gives, or the error that it raised, when it was first asked for under that name."""
        with self._lock(name):
            if name in self._failed:
                raise self._failed[name].with_traceback(None)
            if name not in self._done:
                self.say(f"convert to {name}")
                try:
                    self._done[name] = make()
                except EdgedistillError as error:
                    self._failed[name] = error
                    raise
            return self._done[name]

    def _lock(self, name: str) -> threading.RLock:
        return self._locks.setdefault(name, threading.RLock())


Conversion = Callable[[Ingredients], Converted]

CONVERSIONS: Registry[Conversion] = Registry("conversion", __package__, "edgedistill.conversions")
