"""Training: data, models, losses, methods, engine, recipes.

Names are loaded on first access, so that listing recipes does not pay for torch.
"""

import os
from importlib import import_module
from typing import Any

# libgomp's threads spin for long before they sleep. Where another process wants the core, all wait for a thread that is
# not running: on two cores beside two busy processes a training step took 100 times longer. With a short spin it took
# 5 times longer, and nothing was lost on a quiet machine (OMP_WAIT_POLICY=PASSIVE costs 30 % there). libgomp reads this
# when torch is imported, so it stands here; the user's own setting wins.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

_HOMES = {
    "build_method": "methods",
    "build_model": "models",
    "load_recipe": "recipe",
    "load_student": "checkpoint",
}
_MODULES = ("checkpoint", "data", "engine", "experiment", "losses", "methods", "models", "recipe")

__all__ = [*_HOMES, *_MODULES]  # noqa: PLE0604 (names, computed)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
