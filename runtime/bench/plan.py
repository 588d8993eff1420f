"""How long to measure, and what may be asked of a benchmark."""

import math
from collections.abc import Sequence

import msgspec

from ..bundle import Artifact, Bundle
from ..errors import ConfigError
from ..record import Record


class BenchPlan(Record):
    """How long to measure, per artifact: until both minimums are met (MLPerf mobile's rule and sizes).

    Attributes:
        queries: least number of measured inferences.
        seconds: least time spent on them.
        rounds: over how many turns they are spread; the artifacts take turns.
        processes: how many processes an artifact's turns are spread over, one after another: a process has a layout of
            its memory that makes it a few per cent faster or slower than the next one for as long as it lives.
    """

    queries: int
    seconds: float
    rounds: int
    processes: int = 1

    @property
    def most_rounds(self) -> int:
        """Rounds at most: turns that were disturbed are measured again, in half as many rounds again."""
        return self.rounds + math.ceil(self.rounds / 2)

    def begins_process(self, number: int) -> bool:
        """Whether round `number` (from 1) is measured in new processes; repetitions of disturbed turns are, too."""
        before, now = ((done * self.processes) // self.rounds for done in (number - 2, number - 1))
        return number > 1 and self.processes > 1 and now > before

    @property
    def queries_per_turn(self) -> int:
        return math.ceil(self.queries / self.rounds)

    @property
    def seconds_per_turn(self) -> float:
        return self.seconds / self.rounds


PLANS: dict[str, BenchPlan] = {
    # The demo needs a p90 (100 queries) in a few seconds, so that it loads each artifact once; the other sizes are
    # MLPerf's.
    "demo": BenchPlan(queries=100, seconds=1.0, rounds=4),
    "smoke": BenchPlan(queries=64, seconds=6.0, rounds=4, processes=4),
    "quick": BenchPlan(queries=128, seconds=10.0, rounds=5, processes=5),
    "full": BenchPlan(queries=1024, seconds=60.0, rounds=12, processes=12),
}


def queries_for(p: float) -> int:
    """The fewest samples on which the quantile `p` (0 < p < 1) may be stated: ten beyond it, n >= 10 / (1 - p)."""
    return math.ceil(10 / (1 - p) - 1e-6)  # 10 / (1 - 0.9) is a little above 100 in binary


def choose_plan(preset: str | None, artifacts: Sequence[Artifact], least_queries: int) -> tuple[str, BenchPlan]:
    """The preset and its plan.

    Args:
        preset: its name, or None for the longest that a deploy config asks for.
        artifacts: what is measured.
        least_queries: what a gate needs to be judged.

    Raises:
        ConfigError: an unknown preset.
    """
    if preset is None:
        asked = [artifact.target.bench for artifact in artifacts if artifact.target.bench in PLANS]
        preset = max(asked, key=lambda name: PLANS[name].seconds, default="quick")
    if preset not in PLANS:
        raise ConfigError(f"unknown bench preset {preset!r}: one of {', '.join(PLANS)}.")
    plan = PLANS[preset]
    return preset, msgspec.structs.replace(plan, queries=max(plan.queries, least_queries))


def choose_size(size: object, source: Bundle) -> tuple[int, int] | None:
    """Height and width for a graph that takes any.

    Args:
        size: both, the side of a square, or None.
        source: what is measured.

    Raises:
        ConfigError: no size in pixels, or `source` is a bundle, whose graphs have their size.
    """
    if size is None:
        return None
    if not source.is_model_file:
        raise ConfigError(f"{source.root}: is a bundle, whose graphs have their size: leave out --size (`size`).")
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ConfigError("--size (`size`): needs pixels above 0, as in 224, or height and width, as in 224x320.")
    return sides
