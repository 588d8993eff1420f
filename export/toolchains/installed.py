"""The versions of everything that has a hand in the artifacts."""

from importlib import metadata

from ...runtime.backends.base import recorded_distributions
from .environment import own_versions
from .table import TOOLCHAINS

# Distribution names: with the backends' own they decide what the artifacts look like.
_TOOLCHAIN = ("torch", "torchvision", "timm", "onnx", "onnxscript", "onnx-ir", "onnxsim", "Pillow", "numpy")
_QUANTISERS = ("ai-edge-quantizer",)  # comes with litert-torch


def installed_toolchain() -> dict[str, str]:
    """Versions by distribution, of those that are installed here or in a toolchain's own environment."""
    beside = (row.distribution for row in TOOLCHAINS.values())
    names = (*_TOOLCHAIN, *_QUANTISERS, *beside, *recorded_distributions())
    here = {name: version for name in names if (version := _version(name))}
    return own_versions() | here


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
