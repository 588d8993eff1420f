"""The table at the end of `--seeds`: means, deviations and the paired gain."""

from pathlib import Path

from rich.console import Console

from edgedistill.distill.study.seeds import SeedsReport
from edgedistill.distill.study.spread import Gain, Spread

from .console import escape
from .render import interval, status, table

_ROLES = {"teacher": "teacher", "baseline": "student, no teacher", "student": "student, distilled"}


def seeds_table(report: SeedsReport, path: Path, console: Console) -> None:
    """One row per model with the values of every seed, the gain, what did not simply pass, and where it is all kept."""
    seeds = [f"seed {run.seed}" for run in report.runs]
    validated = any(model.validation is not None for model in report.models)
    numbers = (*(["validation mAP"] if validated else []), "test mAP", *seeds)
    rows = table("model", *numbers, right=numbers)
    for model in report.models:
        means = ([_mean(model.validation)] if validated else []) + [_mean(model.test)]
        rows.add_row(_ROLES[model.role], *means, *[_number(value) for value in model.test.values])
    what = "mean ± sample standard deviation" if len(seeds) > 1 else "one seed, which has no deviation"
    console.print(f"\n[bold]Accuracy[/] in PyTorch on {escape(report.test)} ({what}; per seed: test mAP)")
    console.print(rows)
    if report.gain is not None:
        console.print(_gain(report.gain), soft_wrap=True)
    for run in report.runs:
        for remark in run.remarks:
            console.print(f"{status(remark.verdict)}  seed {run.seed}: {escape(remark.sentence)}", soft_wrap=True)
    console.print(f"[dim]{escape(str(path))}[/]", soft_wrap=True)


def _mean(found: Spread | None) -> str:
    if found is None or found.mean is None:
        return "-"
    deviation = "" if found.deviation is None else f" ± {found.deviation:.2f}"
    return f"[bold]{found.mean:.2f}[/]{deviation}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _gain(gain: Gain) -> str:
    if len(gain.differences) == 1:
        return f"distillation: [bold]{gain.differences[0]:+.2f}[/] mAP points over the same student without a teacher"
    return (
        f"distillation: [bold]{gain.interval.estimate:+.2f}[/] mAP points over the same student without a teacher, "
        f"{100 * gain.interval.confidence:.0f} % Student-t interval of the paired differences "
        f"{interval(gain.interval).partition(' ')[2]}"
    )
