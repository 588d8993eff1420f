"""A study as tables, for a terminal or as Markdown: one per student, from the record alone."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from edgedistill.distill.methods import METHODS
from edgedistill.distill.study.record import Measured, Row, StudyRecord
from edgedistill.distill.study.spec import TEACHER

from .console import escape
from .render import table

_MOST_REASONS = 8


class Line(NamedTuple):
    """A row as text: method, seeds, then mean and gain of each accuracy.

    `best` is that of the highest mean of the first of them among those with every seed.
    """

    cells: tuple[str, ...]
    best: bool


def study_tables(record: StudyRecord, path: Path, console: Console) -> None:
    """The students' tables, what failed and why, what was not run, and where the record lies."""
    console.print(f"\n[bold]{escape(record.name)}[/]: {escape(_what(record))}", soft_wrap=True)
    for student, lines in _tables(record):
        headings = _headings(record)
        rows = table(student, *headings, right=(headings[0], *headings[1::2]))
        for line in lines:
            rows.add_row(*map(escape, line.cells), style="bold green" if line.best else None)
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
        headings = _headings(record)
        rows = [f"| {' | '.join((student, *headings))} |", "|---" * (1 + len(headings)) + "|"]
        for line in lines:
            cells = [f"**{cell}**" if line.best and cell else cell for cell in line.cells]
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
    what = f"test mAP{on}" if _is_tested(record) else "validation mAP, the test split being unread"
    what += ", mean ± sample standard deviation over seeds"
    if record.baseline is None:
        return what
    return f"{what}; gain over `{record.baseline}` with the 95 % Student-t interval of the paired differences"


def _is_tested(record: StudyRecord) -> bool:
    """Whether the test split is read, or nothing is known at all."""
    results = [cell.result for cell in record.cells if cell.result is not None]
    return not results or any(result.test_scored for result in results)


def _measured(record: StudyRecord, row: Row) -> Mapping[str, Measured | None]:
    """The accuracies that are shown of a row, by their columns' headings."""
    if not _is_tested(record):
        return {"validation mAP": row.validation}
    test = None if row.test_mAP is None else Measured(mAP=row.test_mAP, gain=row.gain, gain_seeds=row.gain_seeds)
    names = dict.fromkeys(name for one in record.rows for name in one.other_tests)
    return {"test mAP": test, **{f"{name} mAP": row.other_tests.get(name) for name in names}}


def _headings(record: StudyRecord) -> list[str]:
    gain = "" if record.baseline is None else f"gain over {record.baseline}"
    columns = _measured(record, record.rows[0])
    return ["seeds", *[heading for column in columns for heading in (column, gain)]]


def _tables(record: StudyRecord) -> Iterator[tuple[str, list[Line]]]:
    """One per student that has a result or a failure, its teacher's row last."""
    teacher = [row for row in record.rows if row.student == TEACHER]
    for student in _students(record):
        rows = [row for row in record.rows if row.student == student]
        if any(row.seeds or row.failed for row in rows):
            best = _best(record, rows)
            lines = [_line(row, row.method, record, best=row is best) for row in rows]
            yield student, [*lines, *[_line(row, "(the teacher)", record, best=False) for row in teacher]]


def _students(record: StudyRecord) -> list[str]:
    return list(dict.fromkeys(row.student for row in record.rows if row.student != TEACHER))


def _not_begun(record: StudyRecord) -> list[str]:
    begun = {row.student for row in record.rows if row.seeds or row.failed}
    return [student for student in _students(record) if student not in begun]


def _best(record: StudyRecord, rows: Sequence[Row]) -> Row | None:
    firsts = [(next(iter(_measured(record, row).values())), row) for row in rows]
    means = [
        (first.mAP.mean, row)
        for first, row in firsts
        if first is not None and len(first.mAP.values) == row.planned and first.mAP.mean is not None
    ]
    return max(means, key=lambda found: found[0])[1] if len(means) > 1 else None


def _line(row: Row, method: str, record: StudyRecord, *, best: bool) -> Line:
    failed = f"{row.failed} failed" if row.failed else ""
    shown = [text for found in _measured(record, row).values() for text in (_mean(found, row), _gain(found, row))]
    if not row.seeds:
        shown[0] = failed or "not run"
    elif failed:
        shown[1] = ", ".join(filter(None, (shown[1], failed)))
    return Line((method, f"{len(row.seeds)}/{row.planned}", *shown), best)


def _mean(found: Measured | None, row: Row) -> str:
    if found is None:
        return "not scored" if row.seeds else ""
    fewer = _fewer(len(found.mAP.values), row)
    if found.mAP.mean is None:
        return f"-{fewer}"
    deviation = "" if found.mAP.deviation is None else f" ± {found.mAP.deviation:.2f}"
    return f"{found.mAP.mean:.2f}{deviation}{fewer}"


def _gain(found: Measured | None, row: Row) -> str:
    if found is None or found.gain is None:
        return ""
    reached = found.gain.interval
    ends = "" if reached.low is None else f" [{reached.low:+.2f}, {reached.high:+.2f}]"
    return f"{reached.estimate:+.2f}{ends}{_fewer(len(found.gain_seeds), row)}"


def _fewer(seeds: int, row: Row) -> str:
    """What is said of a number that not all finished seeds have."""
    return f" ({seeds} of {len(row.seeds)} seeds)" if seeds < len(row.seeds) else ""


def _failures(record: StudyRecord) -> list[tuple[str, str]]:
    failed = [(cell.name, cell.reason) for cell in record.cells if cell.status == "failed"]
    more = len(failed) - _MOST_REASONS
    return [*failed[:_MOST_REASONS], *([("...", f"and {more} more")] if more > 0 else [])]


def _several_teachers(record: StudyRecord) -> list[str]:
    """Students that are compared and had other teachers.

    A shared teacher that was trained again elsewhere has other last bits; one that is given is that of every seed.
    """
    taught: dict[int, set[str]] = {}
    for cell in record.cells:
        result = cell.result
        if result and result.teacher_sha256 and not METHODS.get(result.method["name"]).trains_teachers:
            taught.setdefault(cell.seed, set()).add(result.teacher_sha256)
    if not any(cell.student == TEACHER for cell in record.cells):
        given = len(set().union(*taught.values()))
        return [f"its students had {given} teachers: what `teacher` names has changed meanwhile"] if given > 1 else []
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
