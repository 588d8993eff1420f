"""What `--dry-run` shows: the networks, the trainings with their time, and the disk."""

from collections.abc import Sequence

from rich.console import Console
from rich.filesize import decimal

from edgedistill.distill.plan.disk import Kept, missing_bytes
from edgedistill.distill.plan.facts import Plan, PlannedTraining

from .console import escape
from .render import table

_ROLES = {
    "teacher": "teacher",
    "sub-tasks": "teachers of sub-tasks",
    "baseline": "student, no teacher",
    "student": "student",
    "int8": "student in int8",
}


def plan_tables(plans: Sequence[Plan], console: Console) -> None:
    """One plan, or those of one recipe under several seeds: the networks once, every training and what it keeps."""
    first = plans[0]
    counts = ", ".join(f"{split.images:,} {split.part.replace('train', 'training')}" for split in first.splits)
    console.print(f"\n[bold]Data[/]  {escape(first.splits[0].name)}: {counts} images; {first.classes} classes")
    _models(first, console)
    _trainings(plans, console)
    _kept(plans, console)


def about(seconds: float) -> str:
    """A duration, no finer than an estimate is."""
    if seconds < 1:
        return "less than a second"
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * unit:
            count = seconds / unit
            return f"about {count:.0f} {name}" if count >= 9.95 else f"about {float(f'{count:.2g}'):g} {name}"
    return f"about {seconds:.0f} s"


def count(number: int) -> str:
    """Parameters or multiply-accumulates for people: three digits."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            digits = max(0, 2 - len(str(int(number / unit))) + 1)
            return f"{number / unit:.{digits}f} {name}"
    return str(number)


def _models(plan: Plan, console: Console) -> None:
    numbers = ("parameters", "MACs per image", "parameters in training")
    rows = table("model", "network", *numbers, right=numbers)
    for model in plan.models:
        training = "-" if model.training_parameters is None else count(model.training_parameters)
        rows.add_row(_ROLES[model.role], escape(model.name), count(model.parameters), count(model.macs), training)
    height, width = plan.size
    console.print(f"\n[bold]Models[/] as they ship, for images of {height}x{width}")
    console.print(rows)


def _trainings(plans: Sequence[Plan], console: Console) -> None:
    entries = [(plan, training) for plan in plans for training in plan.trainings]
    if not entries:
        console.print("\n[bold]Nothing is left to train.[/] The teacher is given.")
        return
    numbers = ("epochs", "steps", "ms per step")
    several = len(plans) > 1
    rows = table(*(["run"] if several else []), "training", "taught by", *numbers, "bound by", "time", right=numbers)
    for plan, training in entries:
        rows.add_row(*([escape(plan.name)] if several else []), *_training_row(training))
    first = plans[0]
    console.print(f"\n[bold]Trainings[/] on this machine ({escape(first.device)}, cores: {first.cores})")
    console.print(rows)
    _parts(entries, console)
    for plan, training in entries:
        if training.note:
            console.print(f"[yellow]{escape(plan.name)}, {_ROLES[training.role]}:[/] {escape(training.note)}")
    seconds = sum(plan.estimated_seconds for plan in plans)
    if seconds:
        console.print(
            f"[bold]{about(seconds)}[/] on this machine as it is now, without evaluation; estimated from a few steps "
            "on random images",
            soft_wrap=True,
        )
    if seconds and first.load_average is not None and first.load_average > first.cores / 2:
        console.print(
            f"[yellow]busy machine[/]  other work wanted {first.load_average:.1f} of {first.cores} cores: left alone "
            "it would be faster",
            soft_wrap=True,
        )
    if first.command == "run":
        console.print("[dim]`run` then exports, verifies and measures, which is not estimated[/]")


def _training_row(training: PlannedTraining) -> list[str]:
    several = f" ({training.count})" if training.count > 1 else ""
    taught = training.method + (f", {training.teacher} teacher" if training.teacher else "")
    row = [f"{_ROLES[training.role]}{several}", escape(taught)]
    if training.step_seconds is None:
        return [*row, str(training.epochs), "-", "-", "-", "[green]done[/]"]
    left = training.epochs * training.count - training.epochs_done
    time = about(training.estimated_seconds)
    if training.epochs_done:
        time += f" for the {left:.3g} epochs left"
    milliseconds = f"{1000 * training.step_seconds:.3g}"
    return [*row, str(training.epochs), f"{training.steps:,}", milliseconds, training.bound or "-", time]


def _parts(entries: Sequence[tuple[Plan, PlannedTraining]], console: Console) -> None:
    """What learns at which rate: of each training once, since seeds do not differ in it."""
    numbers = ("parameters", "rate", "weight decay")
    rows = table("training", "part", *numbers, "frozen", right=numbers)
    for role, training in {training.role: training for _, training in entries if training.parts}.items():
        for part in training.parts:
            below = "" if part.below_head is None else f", {part.below_head} below the head"
            frozen = {0: "no", "all": "always"}.get(part.freeze_epochs, f"{part.freeze_epochs} epochs")
            decay = f"{part.weight_decay:g}" if part.weight_decay else "-"
            rows.add_row(_ROLES[role], part.part + below, count(part.parameters), f"{part.lr:.3g}", decay, frozen)
    if rows.rows:
        console.print("\n[bold]Parts[/] and their rates; weight decay is that of weights, not of biases and norms")
        console.print(rows)


def _kept(plans: Sequence[Plan], console: Console) -> None:
    kept = _distinct(plans)
    rows = table("what is kept", "size", "there", "path", right=("size",))
    for one in kept:
        rows.add_row(escape(one.what), decimal(one.bytes), _there(one), escape(one.path or "-"))
    missing = missing_bytes(kept)
    free = plans[0].free_bytes
    console.print(f"\n[bold]Disk[/]  {decimal(missing)} more of {decimal(free)} free, without the bundle")
    console.print(rows)
    if missing > free:
        console.print(
            f"[red]the disk is too small:[/] {decimal(missing - free)} are lacking for {escape(plans[0].folder)}. Free "
            "space, or choose another `output:`",
            soft_wrap=True,
        )


def _distinct(plans: Sequence[Plan]) -> list[Kept]:
    """Seeds share what has one path, and the memory; of a teacher that is still to be trained each has its outputs."""
    found: dict[tuple[str, str | None, str], Kept] = {}
    for plan in plans:
        for kept in plan.kept:
            own = kept.where == "disk" and kept.path is None
            found[kept.what, kept.path, plan.name if own else ""] = kept
    return list(found.values())


def _there(kept: Kept) -> str:
    if kept.where == "memory":
        return "in memory"
    share = kept.present_bytes / kept.bytes if kept.bytes else 0.0
    return "no" if not share else "[green]yes[/]" if share > 0.99 else f"{100 * share:.0f} %"
