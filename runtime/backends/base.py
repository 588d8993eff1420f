"""What a backend is: load once, infer many times, close. The public methods own checks; a backend does the work."""

from pathlib import Path
from types import ModuleType, TracebackType
from typing import ClassVar

import numpy as np

from ..bundle import Artifact, Bundle
from ..errors import BundleError, MissingDependencyError
from ..registry import Registry


class Backend:
    """A loaded artifact on one device.

    Subclasses import their library inside methods, raise MissingDependencyError (naming the extra to install) when
    it is absent, and fill `effective` with what the library says it really does.

    Args:
        bundle: where the files are; they are hash-checked on access.
        artifact: which of its artifacts.
        threads: intra-op threads, overriding the deploy config; None keeps that, which may leave it to the library.
        device: the backend's device word, overriding the deploy config.
    """

    extra: ClassVar[str]

    def __init__(
        self,
        bundle: Bundle,
        artifact: Artifact,
        *,
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        self.bundle = bundle
        self.artifact = artifact
        self.threads = threads if threads is not None else artifact.target.threads
        self.device = device or artifact.target.device
        self.effective: dict[str, str] = {}
        self._load()

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
        return None

    def infer(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run the graph.

        Args:
            images: what the manifest's `input` says: uint8 (N, H, W, 3) RGB or float32 (N, 3, H, W).

        Returns:
            logits and probabilities, each float32 (N, C).
        """
        expected = self.bundle.manifest.inputs[0]
        if images.dtype != np.dtype(expected.dtype) or images.shape[1:] != tuple(expected.shape[1:]):
            raise ValueError(
                f"the graph takes {expected.dtype} {expected.shape}, not {images.dtype} {tuple(images.shape)}"
            )
        return self._infer(np.ascontiguousarray(images))

    def close(self) -> None:
        """Free the library's handles; the object cannot be used after."""

    def __enter__(self) -> "Backend":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _load(self) -> None:
        """What a backend defines: load the artifact's files, ready to infer."""
        raise NotImplementedError

    def _infer(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a backend defines: logits and probabilities (N, C) of a batch that the artifact accepts."""
        raise NotImplementedError


def cannot_load(path: Path, library: ModuleType, error: object) -> BundleError:
    """The error for an intact file that the library refuses: its many lines become the one that a person reads."""
    text = " ".join(str(error).split())
    reason = text if len(text) <= _REASON_LENGTH else f"...{text[-_REASON_LENGTH:]}"  # the cause comes last
    return BundleError(
        f"{path}: {library.__name__} {library.__version__} cannot load it ({reason}). "
        f"Export it again, or install the {library.__name__} version that the manifest names."
    )


def not_importable(name: str, extra: str, error: ImportError) -> MissingDependencyError:
    """The error for an absent or broken library."""
    if isinstance(error, ModuleNotFoundError) and error.name == name:
        return MissingDependencyError(f'{name} is not installed: `pip install "edgedistill[{extra}]"`.')
    reason = " ".join(str(error).split())[:_REASON_LENGTH]
    return MissingDependencyError(
        f'{name} is installed but cannot be imported ({reason}): `pip install -U "edgedistill[{extra}]"`.'
    )


_REASON_LENGTH = 300

BACKENDS: Registry[type[Backend]] = Registry("backend", __package__)
