"""In the toolchain's environment: coremltools, without the libraries whose models it could convert too."""

import sys
from types import ModuleType
from typing import cast

_NOT_NEEDED = ("sklearn", "torchvision")  # it imports them where they are installed, which takes as long as itself


def coremltools() -> ModuleType:
    """The module; what was imported before it came stays."""
    blocked = [name for name in _NOT_NEEDED if name not in sys.modules]
    modules = cast(dict[str, ModuleType | None], sys.modules)
    modules.update(dict.fromkeys(blocked))  # None: not there, for whoever tries to import it
    try:
        import coremltools
    finally:
        for name in blocked:
            del modules[name]
    return coremltools
