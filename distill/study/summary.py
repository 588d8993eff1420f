"""What the finished cells say together: means, deviations, and gains paired by seed."""

import math
from collections.abc import Callable, Mapping, Sequence

from ..metrics import paired_interval
from .record import CellRecord, Measured, Result, Row
from .spread import Gain, spread

_Read = Callable[[Result], float | None]
"""An accuracy of a result; NaN where it does not exist, None where it is not known yet."""


def summarise(cells: Sequence[CellRecord], baseline: str | None) -> tuple[Row, ...]:
    """One row per student and method, in the order in which the cells name them first."""
    groups: dict[tuple[str, str], list[CellRecord]] = {}
    for cell in cells:
        groups.setdefault((cell.student, cell.method), []).append(cell)
    return tuple(_row(group, groups.get((student, baseline or ""))) for (student, _), group in groups.items())


def _row(cells: Sequence[CellRecord], baseline: Sequence[CellRecord] | None) -> Row:
    first, results = cells[0], _results(cells)
    references = {} if baseline is None or baseline is cells else _results(baseline)
    test = _measure(results, references, _test)
    others = dict.fromkeys(name for result in results.values() for name in result.other_tests)
    measured = {name: _measure(results, references, _other(name)) for name in others}
    return Row(
        student=first.student,
        method=first.method,
        planned=len(cells),
        seeds=tuple(results),
        failed=sum(cell.status == "failed" for cell in cells),
        test_mAP=None if test is None else test.mAP,
        gain=None if test is None else test.gain,
        gain_seeds=() if test is None else test.gain_seeds,
        validation=_measure(results, references, _validation),
        other_tests={name: found for name, found in measured.items() if found is not None},
    )


def _measure(results: Mapping[int, Result], references: Mapping[int, Result], read: _Read) -> Measured | None:
    """An accuracy of the cells of one row by seed, beside those of the baseline; None where no seed has it."""
    reached, compared = _known(results, read), _known(references, read)
    if not reached:
        return None
    pairs = {
        seed: value - compared[seed]
        for seed, value in reached.items()
        if math.isfinite(value) and math.isfinite(compared.get(seed, math.nan))
    }
    differences = tuple(pairs.values())
    gain = Gain(differences=differences, interval=paired_interval(differences)) if differences else None
    return Measured(mAP=spread(list(reached.values())), gain=gain, gain_seeds=tuple(pairs))


def _known(results: Mapping[int, Result], read: _Read) -> dict[int, float]:
    return {seed: value for seed, result in results.items() if (value := read(result)) is not None}


def _results(cells: Sequence[CellRecord]) -> dict[int, Result]:
    """By seed, of the cells that are done."""
    return {cell.seed: cell.result for cell in cells if cell.result is not None}


def _test(result: Result) -> float | None:
    return _or_nan(result.test_mAP) if result.test_scored else None


def _validation(result: Result) -> float | None:
    return _or_nan(result.validation_mAP)


def _other(name: str) -> _Read:
    return lambda result: _or_nan(result.other_tests[name]) if name in result.other_tests else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
