"""Which setting of each method a study says is its best, by validation mAP alone."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import yaml

from ...runtime.errors import ConfigError
from ...runtime.record import Record
from .record import Row, StudyRecord
from .spec import TEACHER
from .study import Study

_NAMED = 3


class Choice(Record):
    """The setting of a method that reached most on the validation part, in the mean over all seeds.

    Attributes:
        student: its name in the study.
        family: the method of which it is a setting.
        method: the setting's name in the study.
        section: what the study file says of it, with the registered name of the method.
        validation_mAP: its mean, in points.
        ahead: of the next best, in points; None where it is the only one.
        settings: how many were compared.
    """

    student: str
    family: str
    method: str
    section: dict[str, Any]
    validation_mAP: float  # noqa: N815
    ahead: float | None
    settings: int


def choose(study: Study, record: StudyRecord) -> tuple[Choice, ...]:
    """One per student and method, in the study's order; of equals the first.

    Raises:
        ConfigError: a cell is not done: settings over other seeds than the rest cannot be compared.
    """
    left = [cell.name for cell in record.cells if cell.result is None and cell.student != TEACHER]
    if left:
        raise ConfigError(
            f"--choose: {len(left)} cells of {study.where} are not done ({', '.join(left[:_NAMED])}, ...): settings "
            "are compared over the same seeds."
        )
    return tuple(_choices(study, [row for row in record.rows if row.student != TEACHER]))


def _choices(study: Study, rows: Sequence[Row]) -> Iterator[Choice]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.student, study.spec.family(row.method)), []).append(row)
    for (student, family), group in groups.items():
        reached = {row.method: _mean(row) for row in group}
        best, *others = sorted(reached, key=lambda name: -reached[name])
        variant = study.spec.variant(best)
        yield Choice(
            student=student,
            family=family,
            method=best,
            section={"method": variant.method} | ({"set": variant.set} if variant.set else {}),
            validation_mAP=reached[best],
            ahead=reached[best] - reached[others[0]] if others else None,
            settings=len(group),
        )


def _mean(row: Row) -> float:
    if row.validation is None or row.validation.mAP.mean is None:
        raise ConfigError(f"--choose: {row.student}/{row.method} has no validation mAP.")
    return row.validation.mAP.mean


def as_methods(choices: Sequence[Choice], study: Study) -> str:
    """The `methods` of a study that runs what was chosen under other seeds, as YAML: one block per student."""
    seeds = ", ".join(map(str, study.spec.seeds))
    lines = []
    for student in dict.fromkeys(one.student for one in choices):
        lines.append(f"# {student}: chosen by the mean validation mAP over the seeds {seeds} of {study.where}")
        lines.append("methods:")
        for one in choices:
            if one.student == student:
                ahead = "" if one.ahead is None else f", {one.ahead:.2f} above the next"
                lines.append(f"  # {one.method}: {one.validation_mAP:.2f}, of {one.settings} settings{ahead}")
                lines.append(f"  {one.family}_best: {_flow(one.section)}")
    return "\n".join(lines) + "\n"


def _flow(section: dict[str, Any]) -> str:
    plain = msgspec.to_builtins(section)
    return yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=float("inf")).strip()
