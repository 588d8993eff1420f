"""What a backend is: load once, infer many times, close. The public methods own checks; a backend does the work.

A backend gets files, an input/output specification and a device, and knows nothing of bundles.
"""

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType, TracebackType
from typing import ClassVar

import numpy as np

from ..errors import BundleError, EdgedistillError, InferenceError, MissingDependencyError, first_line
from ..memory import return_freed_memory
from ..registry import Registry
from ..tensors import TensorSpec, fits, takes
from .model import Model


class Backend:
    """A loaded model on one device.

    Subclasses import their library inside methods, raise MissingDependencyError (naming the extra to install) when it
    is absent, and fill `inputs`, `outputs` and `effective` with what the library says of the graph that it loaded.

    Args:
        model: what to load.
        threads: intra-op threads; None may leave it to the library.
        device: the backend's device word.

    Attributes:
        extra: the optional dependency that brings the library.
        distributions: whose versions are recorded with results and bundles.
        devices: the device words it knows, for messages and `list backends`.
        suffixes: of the main files that it opens by themselves, e.g. (".onnx",).
        hints: what it asks of its library for each precision that it can choose; empty where the file alone decides.
        surrogate: the device word that can run a file in place of one that is not here; empty where none can.
        concurrent: whether several threads may run it at once; where not, they take turns.
        inputs: the loaded graph's own.
        outputs: the loaded graph's own.
        effective: what really runs: library, device or providers, precision, threads.
        metadata: what the file says of itself, by key, where its format has room for that.
    """

    extra: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]] = ()
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    suffixes: ClassVar[tuple[str, ...]] = ()
    hints: ClassVar[Mapping[str, str]] = {}
    surrogate: ClassVar[str] = ""
    concurrent: ClassVar[bool] = False

    def __init__(self, model: Model, *, threads: int | None = None, device: str = "cpu") -> None:
        self.model = model
        self.threads = threads
        self.device = device
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self.effective: dict[str, str] = {}
        self.metadata: dict[str, str] = {}
        self._open = False
        self._turn: AbstractContextManager[object] = nullcontext() if self.concurrent else threading.Lock()
        try:
            self._load()
            return_freed_memory()
            self._open = True
            self._check_graph()
        except (EdgedistillError, KeyboardInterrupt):
            self.close()
            raise
        except Exception as error:  # a library raises what it likes; an intact file's fault becomes one line
            self.close()
            raise cannot_load(self.model, self.library(), error) from error

    @classmethod
    def library(cls) -> ModuleType:
        """Import and return the library; raises MissingDependencyError naming the extra to install."""
        raise NotImplementedError

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this backend cannot run here and how to get it, in one sentence; None when it can."""
        try:
            cls.library()
        except MissingDependencyError as error:
            return str(error)
        except Exception as error:  # a backend of another distribution may raise anything
            return f"{cls.__module__}: {type(error).__name__}: {first_line(error)}"
        return None

    @classmethod
    def lacking(cls, device: str) -> str | None:
        """Why the library, or the device of that word, cannot be had here, in one sentence; None when it can."""
        if reason := cls.unavailable():
            return reason
        try:
            cls.find_device(device)
        except EdgedistillError as error:
            return str(error)
        return None

    @classmethod
    def find_device(cls, device: str) -> None:
        """What a backend may define: raise MissingDependencyError where the library finds no such device here, and
        ConfigError where it has no such word. It asks the library, which is installed, and loads nothing.
        """

    @classmethod
    def companions(cls, path: Path) -> tuple[Path, ...]:
        """The files that belong to the main file `path` when it is opened by itself; `path` first."""
        return (path,)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph.

        Args:
            feeds: one array per input, by name.

        Returns:
            the wanted outputs by name; the arrays are the caller's to keep.

        Raises:
            ValueError: an array is not what the graph takes, or the backend is closed.
            InferenceError: the library gave up; says in a line why. The backend may be asked again.
        """
        for spec in self.inputs:
            given = feeds[spec.name]
            if not takes(spec, given):
                raise ValueError(f"the graph takes {spec.dtype} {spec.shape}, not {given.dtype} {given.shape}")
        arrays = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
        if self.concurrent:
            return self._answered(arrays)
        with self._turn:
            return self._answered(arrays)

    def _answered(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not self._open:
            raise ValueError(f"{self.model.name}: is closed; load it again.")
        try:
            return self._run(arrays)
        except (EdgedistillError, ValueError):
            raise
        except Exception as error:  # a library raises what it likes
            reason = f"inference failed ({type(error).__name__}: {_shortened(error)})"
            raise InferenceError(self.model.name, reason) from error

    def infer(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """`run` for a graph of one input."""
        return self.run({self.inputs[0].name: images})

    def for_many(self) -> "Backend":
        """What a backend may define: the same model for as many threads as there are cores, which infer at once, each
        on a core of its own.

        It is loaded now, is to be closed beside this one, and may be this one: where there is none better, where
        `threads` says fewer than there are cores, and of a class that knows more than this method.
        """
        return self

    def convolutions(self) -> list[tuple[str, str]] | None:
        """(name, "int8" or "float") of each convolution in the graph that the library executes, after its own
        optimisations; None where a library does not show it. For reports: it may load the model once more.
        """
        return None

    def close(self) -> None:
        """Free the library's handles; the object cannot be used after. Closing twice is fine."""
        with self._turn:
            self._open = False
            self._close()

    def __enter__(self) -> "Backend":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _check_graph(self) -> None:
        """The graph must take and give what its specification says; what it gives beyond that is carried."""
        for listed, own, what in (
            (self.model.inputs, self.inputs, "input"),
            (self.model.outputs, self.outputs, "output"),
        ):
            found = {spec.name: spec for spec in own}
            for spec in listed:
                if spec.name not in found:
                    names = ", ".join(found) or "none"
                    raise BundleError(f"{self.model.name}: its graph has no {what} {spec.name!r} (it has {names}).")
                if not fits(found[spec.name], spec):
                    raise BundleError(
                        f"{self.model.name}: its graph's {what} is {found[spec.name]}, the manifest says {spec}: "
                        "the file and the manifest do not belong together. Export it again."
                    )
        if self.model.inputs and len(self.inputs) != len(self.model.inputs):
            raise BundleError(
                f"{self.model.name}: its graph takes {len(self.inputs)} inputs, the manifest lists "
                f"{len(self.model.inputs)}: the file and the manifest do not belong together. Export it again."
            )

    def _wanted(self) -> list[str]:
        """Names of the outputs to compute."""
        return [spec.name for spec in self.model.outputs or self.outputs]

    def _load(self) -> None:
        """What a backend defines: load the model's files, ready to run, and fill inputs, outputs and effective."""
        raise NotImplementedError

    def _run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What a backend defines: the wanted outputs for contiguous arrays that fit the graph."""
        raise NotImplementedError

    def _close(self) -> None:
        """What a backend may define: drop the library's handles; also after a load that failed half-way."""


def cannot_load(model: Model, library: ModuleType, error: object) -> BundleError:
    """The error for an intact file that the library refuses: its many lines become the one that a person reads."""
    reason = _shortened(error)
    where = model.files[0].label if model.files else model.name
    return BundleError(
        f"{where}: {library.__name__} {getattr(library, '__version__', '')} cannot load it ({reason}). "
        f"Export it again, or install the {library.__name__} version that the manifest names."
    )


def _shortened(error: object) -> str:
    """A library's many lines as the one that a person reads."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _REASON_LENGTH else f"...{text[-_REASON_LENGTH:]}"  # the cause comes last


def not_importable(name: str, extra: str, error: ImportError) -> MissingDependencyError:
    """The error for an absent or broken library.

    Raises:
        KeyboardInterrupt: Ctrl-C came while it was imported; modules in C++ make an ImportError of it.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            raise cause
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, ModuleNotFoundError) and error.name == name:
        return MissingDependencyError(f'{name} is not installed: `pip install "edgedistill[{extra}]"`.')
    reason = " ".join(str(error).split())[:_REASON_LENGTH]
    return MissingDependencyError(
        f'{name} is installed but cannot be imported ({reason}): `pip install -U "edgedistill[{extra}]"`.'
    )


_REASON_LENGTH = 300

BACKENDS: Registry[type[Backend]] = Registry("backend", __package__, "edgedistill.backends")


def recorded_distributions() -> tuple[str, ...]:
    """Every backend's distributions, whose versions say what a result was measured with."""
    return tuple(name for backend in BACKENDS.names() for name in BACKENDS.get(backend).distributions)
