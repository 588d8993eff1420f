"""edgedistill: from a large multi-label image classifier to a small one that is proven on the device.

`edgedistill.runtime` needs neither torch nor a training environment; `edgedistill.distill` and `edgedistill.export`
are imported on first access, so that an app which only predicts never pays for them.
"""

import os
from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

# Without pathlib: a Ctrl-C while that is imported would be answered with a traceback, see edgedistill.cli.
# ruff: noqa: PTH113, PTH118, PTH120
_CHECKOUT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
if os.path.isfile(os.path.join(_CHECKOUT, "pyproject.toml")):
    # In a checkout the sub-packages stand beside this folder; in an installed wheel they are inside it.
    __path__.append(_CHECKOUT)

_SUBPACKAGES = ("distill", "export", "runtime")


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBPACKAGES])
