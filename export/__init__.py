"""From a trained network to one bundle that every device can run.

Names are loaded on first access: the command line checks what it was given before it pays for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..distill.models.reparameterize import reparameterize
    from .errors import ExportError
    from .exporting import export_bundle
    from .sources.library import from_library
    from .sources.onnx_file import from_onnx
    from .sources.pytorch import from_module

__all__ = ["ExportError", "export_bundle", "from_library", "from_module", "from_onnx", "reparameterize"]

_HOME = {
    "ExportError": ".errors",
    "export_bundle": ".exporting",
    "from_library": ".sources.library",
    "from_module": ".sources.pytorch",
    "from_onnx": ".sources.onnx_file",
    "reparameterize": "..distill.models.reparameterize",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
