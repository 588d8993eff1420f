"""One recipe under several seeds: each in a run folder of its own, then means, deviations and the paired gain."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from rich.console import Console
from rich.markup import escape

from ...runtime import metrics
from ...runtime.files import write_atomic
from ...runtime.record import Record
from ...runtime.verdicts import Verdict, overall
from ..engine import current_world
from ..experiment import Experiment, Teacher
from ..metrics import paired_interval
from ..recipe.loaded import LoadedRecipe
from .spread import Gain, Spread, spread


class ModelOverSeeds(Record):
    """A model's accuracy under several seeds.

    Attributes:
        role: "teacher", "baseline" (the student without a teacher) or "student".
        test: mAP in points on the test split.
        validation: mAP in points that selected the epoch; None where the command does not report it.
    """

    role: str
    test: Spread
    validation: Spread | None = None


class Remark(Record):
    """Why a run's bundle did not simply pass.

    Attributes:
        verdict: on the gate, or on the artifact.
        sentence: names the artifact, what was found and the limit.
    """

    verdict: Verdict
    sentence: str


class SeedRun(Record):
    """One seed's run.

    Attributes:
        seed: of initialisation, order, augmentation and the validation split.
        folder: the run's folder.
        verdict: on its bundle, see `RunSummary.verdict`; None where none was built.
        remarks: the gates that were not met and the artifacts that failed or had none; where nothing ran, why.
    """

    seed: int
    folder: str
    verdict: Verdict | None = None
    remarks: tuple[Remark, ...] = ()


class SeedsReport(Record):
    """What a command found under several seeds; <output>/<name>.seeds.json.

    Attributes:
        name: of the recipe; the runs are called <name>-seed<k>.
        command: which one ran.
        assignments: the KEY=VALUE arguments that changed the recipe, as typed.
        test: the test split's name.
        runs: one per seed, in the order asked for; every tuple of values below has this order.
        models: teacher, baseline and student, as far as the command trains them.
        gain: None without a baseline.
    """

    name: str
    command: Literal["distill", "run"]
    assignments: tuple[str, ...]
    test: str
    runs: tuple[SeedRun, ...]
    models: tuple[ModelOverSeeds, ...]
    gain: Gain | None = None

    @property
    def verdict(self) -> Verdict | None:
        """The worst of the seeds' verdicts; None where no bundle was built."""
        said = [run.verdict for run in self.runs if run.verdict is not None]
        return overall(said) if said else None


def report_path(loaded: LoadedRecipe) -> Path:
    """Where the report of a recipe under several seeds lies."""
    return Path(loaded.recipe.output) / f"{loaded.recipe.name}.seeds.json"


def with_seed(loaded: LoadedRecipe, seed: int) -> LoadedRecipe:
    """The same recipe under one seed, in the run folder <name>-seed<k>."""
    name = f"{loaded.recipe.name}-seed{seed}"
    return msgspec.structs.replace(loaded, recipe=msgspec.structs.replace(loaded.recipe, name=name, seed=seed))


def distill_over_seeds(loaded: LoadedRecipe, seeds: Sequence[int], console: Console) -> SeedsReport:
    """Train the teacher (where the recipe trains one) and the student once per seed; finished ones are loaded.

    Args:
        loaded: the recipe; its own seed is not used.
        seeds: different, at least one.
        console: where progress is drawn.

    Returns:
        The report, which is also written to `report_path`.
    """
    runs, found = [], []
    for seeded in announced(loaded, seeds, console):
        experiment = Experiment(seeded, console)
        found.append(_distilled(experiment))
        runs.append(SeedRun(seed=seeded.recipe.seed, folder=str(seeded.folder)))
        test = experiment.splits.test.name
    models = tuple(
        ModelOverSeeds(
            role=role,
            validation=spread([one[role].validation for one in found]),
            test=spread([one[role].test for one in found]),
        )
        for role in found[0]
    )
    return written(loaded, "distill", test, runs, models)


def paired_gain(models: Sequence[ModelOverSeeds]) -> Gain | None:
    """Student minus baseline per seed; None without a baseline, or where one has no mAP."""
    test = {model.role: model.test for model in models}
    if "baseline" not in test:
        return None
    pairs = list(zip(test["student"].values, test["baseline"].values, strict=True))
    differences = tuple(
        student - baseline for student, baseline in pairs if student is not None and baseline is not None
    )
    if len(differences) < len(pairs):
        return None
    return Gain(differences=differences, interval=paired_interval(differences))


def announced(loaded: LoadedRecipe, seeds: Sequence[int], console: Console) -> Iterator[LoadedRecipe]:
    """The recipe under each seed, with a line before each."""
    for number, seed in enumerate(seeds, start=1):
        seeded = with_seed(loaded, seed)
        console.print(
            f"[bold cyan]>>[/] [bold]seed {seed}[/] [dim]({number} of {len(seeds)}, {escape(str(seeded.folder))})[/]",
            highlight=False,
            soft_wrap=True,
        )
        yield seeded


class _MeanAp(NamedTuple):
    """In points (0-100)."""

    validation: float
    test: float


def _distilled(experiment: Experiment) -> dict[str, _MeanAp]:
    """By role, of what `distill` trains: the teacher (unless it only loads one) and the student."""
    experiment.require_student()
    spec, teacher = experiment.recipe.teacher, experiment.teacher()
    models: dict[str, Teacher] = {"student": experiment.student(teacher)}
    if teacher is not None and (spec is None or (spec.checkpoint is None and spec.train is not None)):
        models = {"teacher": teacher, **models}
    return {role: _MeanAp(model.card.metrics["mAP"], _test(experiment, model)) for role, model in models.items()}


def _test(experiment: Experiment, model: Teacher) -> float:
    outputs = experiment.test(model)
    return metrics.evaluate(outputs.scores, outputs.dataset.labels)["mAP"]


def written(
    loaded: LoadedRecipe,
    command: Literal["distill", "run"],
    test: str,
    runs: Sequence[SeedRun],
    models: tuple[ModelOverSeeds, ...],
) -> SeedsReport:
    """The report, written to `report_path` by the main process."""
    report = SeedsReport(
        name=loaded.recipe.name,
        command=command,
        assignments=loaded.assignments,
        test=test,
        runs=tuple(runs),
        models=models,
        gain=paired_gain(models),
    )
    if current_world().is_main:
        write_atomic(report_path(loaded), msgspec.json.format(msgspec.json.encode(report), indent=2))
    return report
