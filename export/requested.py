"""Which deploy configs are asked for; needs no torch, so that a mistake is told at once."""

from collections.abc import Sequence
from pathlib import Path

from ..runtime.bundle.check import path_problem
from ..runtime.errors import ConfigError
from ..runtime.precisions import precision_of
from ..runtime.targets import Gates, Target, load_target, target_problem, written_problem
from ..runtime.tensors import EMBEDDING, SALIENCY
from .builders import BUILDERS


def resolve_targets(targets: Sequence[Target | str | Path]) -> list[Target]:
    """Deploy configs by name, path or value.

    Raises:
        ConfigError: none given, one given twice or impossible, or one that its backend is not built in.
    """
    resolved = [target if isinstance(target, Target) else load_target(target) for target in targets]
    if not resolved:
        raise ConfigError("no target to export for: name at least one, `edgedistill list targets` shows them.")
    for i, target in enumerate(resolved):
        # Files of a bundle are called after it, and two names that differ by case alone are one file on some systems.
        if target.name.casefold() in [other.name.casefold() for other in resolved[:i]]:
            raise ConfigError(f"the target {target.name} is given twice.")
        problem = target_problem(target) or written_problem(target) or path_problem(f"{target.name}.npy")
        if problem:
            raise ConfigError(f"{target.name}: {problem}.")
        BUILDERS.get(target.backend).conversion(target)
    return resolved


def require_calibration(targets: Sequence[Target], *, given: bool) -> None:
    """Raise ConfigError when a target is quantised and there are no images to calibrate it on, or the reverse."""
    needy = [target.name for target in targets if precision_of(target.precision).quantised]
    if needy and not given:
        raise ConfigError(
            f"{', '.join(needy)}: int8 is calibrated on training images: give them with --calibration DATA "
            "(`calibration=` in Python). A few hundred are enough; never the test split."
        )
    if given and not needy:
        raise ConfigError(
            "calibration images are given, and no target is quantised: add one in int8 or leave them out."
        )


def check_outputs(names: Sequence[str]) -> None:
    """Raise ConfigError for an optional output that is unknown or asked for twice."""
    for i, name in enumerate(names):
        if name not in (EMBEDDING, SALIENCY):
            raise ConfigError(f"unknown output {name!r}: one of {EMBEDDING}, {SALIENCY}.")
        if name in names[:i]:
            raise ConfigError(f"the output {name} is given twice.")


def int8_gates(targets: Sequence[Target]) -> Gates | None:
    """The strictest limits of the quantised targets, which share one calibration; None where no target is quantised."""
    limits = [target.limits for target in targets if precision_of(target.precision).quantised]
    if not limits:
        return None
    drops = [limit.max_map_drop for limit in limits if limit.max_map_drop is not None]
    return Gates(max_map_drop=min(drops, default=None), confidence=max(limit.confidence for limit in limits))
