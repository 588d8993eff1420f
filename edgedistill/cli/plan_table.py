"""What `--dry-run` shows: the networks, the trainings with their time, and the disk."""

from collections.abc import Sequence

from rich.console import Console
from rich.filesize import decimal

from edgedistill.distill.plan.facts import Kept, Plan, PlannedTraining
from edgedistill.runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD
from edgedistill.runtime.progress import duration

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
    _networks(plans[0], console)
    if any(plan.trainings for plan in plans):
        _trainings(plans, console)
    else:
        console.print("\n[bold]Nothing is left to train.[/] The teacher is given.")
    _kept(plans, console)


def count(number: int | None) -> str:
    """Parameters or multiply-accumulates for people: three digits; a dash where nobody knows."""
    if number is None:
        return "-"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.{3 - len(str(int(number / unit)))}f} {name}"
    return str(number)


def _networks(plan: Plan, console: Console) -> None:
    parts = ", ".join(f"{split.images:,} {split.part.replace('train', 'training')}" for split in plan.splits)
    console.print(f"\n[bold]Data[/]  {escape(plan.splits[0].name)}: {parts} images; {plan.classes} classes")
    console.print(f"\n[bold]Models[/] as they ship, for images of {plan.size[0]}x{plan.size[1]}")
    numbers = ("parameters", "MACs per image", "parameters in training")
    rows = table("model", "network", *numbers, "mean / std", right=numbers)
    for model in plan.models:
        counts = map(count, (model.parameters, model.macs, model.training_parameters))
        rows.add_row(_ROLES[model.role], escape(model.name), *counts, f"{_rgb(model.mean)} / {_rgb(model.std)}")
    console.print(rows)
    for model in plan.models:
        if model.other_inputs:
            told = f"{_ROLES[model.role]}: its library's weights learned on other images ({model.other_inputs})"
            console.print(escape(told), soft_wrap=True)


def _rgb(values: tuple[float, float, float]) -> str:
    known = {IMAGENET_MEAN: "ImageNet's", IMAGENET_STD: "ImageNet's"}
    same = f"{values[0]:g}" if len({*values}) == 1 else " ".join(f"{value:g}" for value in values)
    return known.get(values, same)


def _trainings(plans: Sequence[Plan], console: Console) -> None:
    first, several = plans[0], len(plans) > 1
    console.print(f"\n[bold]Trainings[/] on this machine ({escape(first.device)}, cores: {first.cores})")
    numbers = ("epochs", "steps", "ms per step")
    rows = table(*(["run"] if several else []), "training", "taught by", *numbers, "bound by", "time", right=numbers)
    notes = []
    for plan in plans:
        for training in plan.trainings:
            rows.add_row(*([escape(plan.name)] if several else []), *_training_row(training))
            of = f"[yellow]{escape(plan.name)}, {_ROLES[training.role]}:[/]"
            notes += [f"{of} {escape(note)}" for note in training.notes]
    console.print(rows)
    _parts([training for plan in plans for training in plan.trainings], console)
    if seconds := sum(plan.estimated_seconds for plan in plans):
        notes.append(
            f"[bold]about {duration(seconds)}[/] on this machine as it is now, without evaluation; estimated from a "
            "few steps on random images"
        )
        if first.load_average is not None and first.load_average > first.cores / 2:
            notes.append(
                f"[yellow]busy machine[/]  other work wanted {first.load_average:.1f} of {first.cores} cores: left "
                "alone it would be faster"
            )
    if first.command == "run":
        notes.append("[dim]`run` then exports, verifies and measures, which is not estimated[/]")
    for note in notes:
        console.print(note, soft_wrap=True)


def _training_row(training: PlannedTraining) -> list[str]:
    several = f" ({training.count})" if training.count > 1 else ""
    taught = training.method + (f", {training.teacher} teacher" if training.teacher else "")
    row = [f"{_ROLES[training.role]}{several}", escape(taught), str(training.epochs)]
    if training.step_seconds is None:
        return [*row, "-", "-", "-", "[green]done[/]"]
    left = training.epochs * training.count - training.epochs_done
    of_left = f" for the {left:.3g} epochs left" if training.epochs_done else ""
    time = f"about {duration(training.estimated_seconds)}{of_left}"
    return [*row, f"{training.steps:,}", f"{1000 * training.step_seconds:.3g}", training.bound or "-", time]


def _parts(trainings: Sequence[PlannedTraining], console: Console) -> None:
    """What learns at which rate: of each training once, since seeds do not differ in it."""
    numbers = ("parameters", "rate", "weight decay")
    rows = table("training", "part", *numbers, "frozen", right=numbers)
    for role, training in {training.role: training for training in trainings if training.parts}.items():
        for part in training.parts:
            below = "" if part.below_head is None else f", {part.below_head} below the head"
            frozen = {0: "no", "all": "always"}.get(part.freeze_epochs, f"{part.freeze_epochs} epochs")
            decay = f"{part.weight_decay:g}" if part.weight_decay else "-"
            rows.add_row(_ROLES[role], part.part + below, count(part.parameters), f"{part.lr:.3g}", decay, frozen)
    if rows.rows:
        console.print("\n[bold]Parts[/] and their rates; weight decay is that of weights, not of biases and norms")
        console.print(rows)


def _kept(plans: Sequence[Plan], console: Console) -> None:
    # Seeds share what has one path, and the memory; of a teacher that is still to be trained each has its outputs.
    kept = {
        (one.what, one.path, plan.name if one.where == "disk" and one.path is None else ""): one
        for plan in plans
        for one in plan.kept
    }.values()
    missing, free = sum(one.missing_bytes for one in kept), plans[0].free_bytes
    console.print(f"\n[bold]Disk[/]  {decimal(missing)} more of {decimal(free)} free, without the bundle")
    rows = table("what is kept", "size", "there", "path", right=("size",))
    for one in kept:
        rows.add_row(escape(one.what), decimal(one.bytes), _there(one), escape(one.path or "-"))
    console.print(rows)
    if missing > free:
        console.print(
            f"[red]the disk is too small:[/] {decimal(missing - free)} are lacking for {escape(plans[0].folder)}. Free "
            "space, or choose another `output:`",
            soft_wrap=True,
        )


def _there(kept: Kept) -> str:
    if kept.where == "memory":
        return "in memory"
    share = kept.present_bytes / kept.bytes if kept.bytes else 0.0
    return "no" if not share else "[green]yes[/]" if share > 0.99 else f"{100 * share:.0f} %"
