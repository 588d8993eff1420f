"""A study as tables, for a terminal or as Markdown: one per student, from the record alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from edgedistill.distill.methods import METHODS
from edgedistill.distill.study.record import Row, StudyRecord
from edgedistill.distill.study.spec import TEACHER

from .console import escape
from .render import table

_MOST_REASONS = 8


class Line(NamedTuple):
    """A row as text; `best` is that of the highest mean among those with every seed."""

    method: str
    seeds: str
    mean_ap: str
    gain: str
    best: bool


def study_tables(record: StudyRecord, path: Path, console: Console) -> None:
    """The students' tables, what failed and why, what was not run, and where the record lies."""
    console.print(f"\n[bold]{escape(record.name)}[/]: {escape(_what(record))}", soft_wrap=True)
    for student, lines in _tables(record):
        rows = table(student, "seeds", "test mAP", _gain_heading(record), right=("seeds", "test mAP"))
        for line in lines:
            style = "bold green" if line.best else None
            rows.add_row(escape(line.method), line.seeds, line.mean_ap, escape(line.gain), style=style)
        console.print()
        console.print(rows)
    console.print()
    for student in _not_begun(record):
        console.print(f"[yellow]not run[/]  {escape(student)}: none of its cells", soft_wrap=True)
    for sentence in _several_teachers(record):
        console.print(f"[yellow]note[/]     {escape(sentence)}", soft_wrap=True)
    for name, reason in _failures(record):
        console.print(f"[red]failed[/]   {escape(name)}: {escape(reason)}", soft_wrap=True)
    console.print(f"[dim]{escape(_counts(record))}  {escape(str(path))}[/]", soft_wrap=True)


def study_markdown(record: StudyRecord) -> str:
    """The same as Markdown."""
    parts = [f"{_what(record)}."]
    for student, lines in _tables(record):
        rows = [f"| {student} | seeds | test mAP | {_gain_heading(record)} |", "|---|---|---|---|"]
        for line in lines:
            cells = [f"**{cell}**" if line.best and cell else cell for cell in line[:4]]
            rows.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(rows))
    missing = [f"* not run: {student}, none of its cells" for student in _not_begun(record)]
    missing += [f"* {sentence}" for sentence in _several_teachers(record)]
    missing += [f"* failed: {name}: {reason}" for name, reason in _failures(record)]
    parts += ["\n".join(missing)] if missing else []
    parts.append(f"{_counts(record)}. `{record.command}`")
    return "\n\n".join(parts) + "\n"


def _what(record: StudyRecord) -> str:
    on = f" on {record.test}" if record.test else ""
    what = f"test mAP{on}, mean ± sample standard deviation over seeds"
    if record.baseline is None:
        return what
    return f"{what}; gain over `{record.baseline}` with the 95 % Student-t interval of the paired differences"


def _gain_heading(record: StudyRecord) -> str:
    return "" if record.baseline is None else f"gain over {record.baseline}"


def _tables(record: StudyRecord) -> Iterator[tuple[str, list[Line]]]:
    """One per student that has a result or a failure, its teacher's row last."""
    teacher = [row for row in record.rows if row.student == TEACHER]
    for student in _students(record):
        rows = [row for row in record.rows if row.student == student]
        if any(row.seeds or row.failed for row in rows):
            best = _best(rows)
            lines = [_line(row, row.method, record, best=row is best) for row in rows]
            yield student, [*lines, *[_line(row, "(the teacher)", record, best=False) for row in teacher]]


def _students(record: StudyRecord) -> list[str]:
    return list(dict.fromkeys(row.student for row in record.rows if row.student != TEACHER))


def _not_begun(record: StudyRecord) -> list[str]:
    begun = {row.student for row in record.rows if row.seeds or row.failed}
    return [student for student in _students(record) if student not in begun]


def _best(rows: Sequence[Row]) -> Row | None:
    means = [
        (row.test_mAP.mean, row)
        for row in rows
        if len(row.seeds) == row.planned and row.test_mAP is not None and row.test_mAP.mean is not None
    ]
    return max(means, key=lambda found: found[0])[1] if len(means) > 1 else None


def _line(row: Row, method: str, record: StudyRecord, *, best: bool) -> Line:
    seeds = f"{len(row.seeds)}/{row.planned}"
    failed = f"{row.failed} failed" if row.failed else ""
    if row.test_mAP is None:
        return Line(method, seeds, failed or "not run", "", best)
    mean = "-" if row.test_mAP.mean is None else f"{row.test_mAP.mean:.2f}"
    deviation = "" if row.test_mAP.deviation is None else f" ± {row.test_mAP.deviation:.2f}"
    return Line(method, seeds, mean + deviation, ", ".join(filter(None, (_gain(row), failed))), best)


def _gain(row: Row) -> str:
    if row.gain is None:
        return ""
    found = row.gain.interval
    ends = "" if found.low is None else f" [{found.low:+.2f}, {found.high:+.2f}]"
    fewer = f" ({len(row.gain_seeds)} seeds)" if len(row.gain_seeds) < len(row.seeds) else ""
    return f"{found.estimate:+.2f}{ends}{fewer}"


def _failures(record: StudyRecord) -> list[tuple[str, str]]:
    failed = [(cell.name, cell.reason) for cell in record.cells if cell.status == "failed"]
    more = len(failed) - _MOST_REASONS
    return [*failed[:_MOST_REASONS], *([("...", f"and {more} more")] if more > 0 else [])]


def _several_teachers(record: StudyRecord) -> list[str]:
    """A seed whose shared teacher was trained again elsewhere, where the last bits were others."""
    taught: dict[int, set[str]] = {}
    for cell in record.cells:
        result = cell.result
        if result and result.teacher_sha256 and not METHODS.get(result.method["name"]).trains_teachers:
            taught.setdefault(cell.seed, set()).add(result.teacher_sha256)
    return [
        f"seed {seed}: its students had {len(teachers)} teachers, equal trainings with other last bits"
        for seed, teachers in taught.items()
        if len(teachers) > 1
    ]


def _counts(record: StudyRecord) -> str:
    return (
        f"{record.count('done')} of {len(record.cells)} cells done, {record.count('failed')} failed, "
        f"{record.count('not run')} not run"
    )
