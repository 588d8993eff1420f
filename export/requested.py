"""Which deploy configs are asked for; needs no torch, so that a mistake is told at once."""

from collections.abc import Sequence
from pathlib import Path

from ..runtime.errors import ConfigError
from ..runtime.targets import Target, load_target, target_problem, written_problem
from .builders import BUILDERS


def resolve_targets(targets: Sequence[Target | str | Path]) -> list[Target]:
    """Deploy configs by name, path or value.

    Raises:
        ConfigError: none given, one given twice or impossible, or a precision that the backend does not compute in.
    """
    resolved = [target if isinstance(target, Target) else load_target(target) for target in targets]
    if not resolved:
        raise ConfigError("no target to export for: name at least one, `edgedistill list targets` shows them.")
    for i, target in enumerate(resolved):
        if target.name in [other.name for other in resolved[:i]]:
            raise ConfigError(f"the target {target.name} is given twice.")
        problem = target_problem(target) or written_problem(target)
        if problem:
            raise ConfigError(f"{target.name}: {problem}.")
        precisions = BUILDERS.get(target.backend).precisions
        if target.precision not in precisions:
            raise ConfigError(
                f"{target.name}: {target.backend} is not built in {target.precision}; one of: {', '.join(precisions)}."
            )
    return resolved
