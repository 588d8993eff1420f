"""What the finished cells say together: means, deviations, and gains paired by seed."""

import math
from collections.abc import Sequence

from ..metrics import paired_interval
from .record import CellRecord, Row
from .spread import Gain, Spread, spread


def summarise(cells: Sequence[CellRecord], baseline: str | None) -> tuple[Row, ...]:
    """One row per student and method, in the order in which the cells name them first."""
    groups: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in cells:
        groups.setdefault((cell.student, cell.method), []).append(cell)
    return tuple(_row(group, groups.get((student, baseline or ""))) for (student, _), group in groups.items())


def _row(cells: Sequence[CellRecord], baseline: Sequence[CellRecord] | None) -> Row:
    first, reached = cells[0], _reached(cells)
    references = {} if baseline is None or baseline is cells else _reached(baseline)
    pairs = {
        seed: value - references[seed]
        for seed, value in reached.items()
        if math.isfinite(value) and math.isfinite(references.get(seed, math.nan))
    }
    differences = tuple(pairs.values())
    return Row(
        student=first.student,
        method=first.method,
        planned=len(cells),
        seeds=tuple(reached),
        failed=sum(cell.status == "failed" for cell in cells),
        test_mAP=_spread(reached),
        gain=Gain(differences=differences, interval=paired_interval(differences)) if differences else None,
        gain_seeds=tuple(pairs),
    )


def _reached(cells: Sequence[CellRecord]) -> dict[int, float]:
    """Test mAP in points by seed, of the cells that are done; NaN where there is none."""
    done = [(cell.seed, cell.result) for cell in cells if cell.result is not None]
    return {seed: math.nan if result.test_mAP is None else result.test_mAP for seed, result in done}


def _spread(reached: dict[int, float]) -> Spread | None:
    return spread(list(reached.values())) if reached else None
