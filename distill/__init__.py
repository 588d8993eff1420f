"""Training: data, models, losses, methods, engine, recipes.

Names are loaded on first access, so that listing recipes does not pay for torch.
"""

import os
from importlib import import_module
from typing import Any

# libgomp's threads spin for long before they sleep. Where another process wants the core, all wait for a thread that is
# not running; a short spin trains several times faster there and no slower alone (benchmarks/openmp_spin.py). libgomp
# reads this when torch is imported, so it stands here; the user's own setting wins.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

_HOMES = {
    "build_method": "methods",
    "build_model": "models",
    "as_dataset": "api.datasets",
    "distil": "api",
    "load_recipe": "recipe.load",
    "load_student": "checkpoint",
    "partition_labels": "data.partition",
}
_MODULES = ("api", "checkpoint", "data", "engine", "experiment", "losses", "methods", "models", "recipe", "study")

__all__ = [*_HOMES, *_MODULES]  # noqa: PLE0604 (names, computed)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
