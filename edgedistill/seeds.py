"""One recipe under several seeds: each in a run folder of its own, then means, deviations and the paired gain."""

import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from rich.console import Console
from rich.markup import escape

from .distill.checkpoint import Student
from .distill.engine import current_world
from .distill.experiment import Experiment
from .distill.metrics import paired_interval
from .distill.recipe import LoadedRecipe
from .distill.sub_teachers import MergedCheckpoint
from .pipeline import Chain, RunSummary
from .runtime import metrics
from .runtime.bench.report import ArtifactBench
from .runtime.files import write_atomic
from .runtime.interval import Interval
from .runtime.parity import ArtifactParity
from .runtime.record import Record
from .runtime.verdicts import Verdict, overall


class Spread(Record):
    """One number under several seeds.

    Attributes:
        values: per seed, in the order of the seeds; None where it does not exist (a split without positives).
        mean: over the seeds; None where a value is missing.
        deviation: sample standard deviation (n - 1 in the denominator); None for a single seed.
    """

    values: tuple[float | None, ...]
    mean: float | None
    deviation: float | None


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


class Gain(Record):
    """What distillation brings over the same student without a teacher.

    Attributes:
        differences: test mAP of student minus baseline in points, per seed.
        interval: their mean with Student's t interval; no ends for a single seed.
    """

    differences: tuple[float, ...]
    interval: Interval


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
    for seeded in _announced(loaded, seeds, console):
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
    return _written(loaded, "distill", test, runs, models)


def run_over_seeds(loaded: LoadedRecipe, seeds: Sequence[int], console: Console) -> SeedsReport:
    """The whole chain once per seed, as `distill_over_seeds`; a missed gate does not stop the seeds after it."""
    summaries, runs = [], []
    for seeded in _announced(loaded, seeds, console):
        summary = Chain(seeded, console).run()
        runs.append(
            SeedRun(
                seed=seeded.recipe.seed,
                folder=str(seeded.folder),
                verdict=summary.verdict,
                remarks=tuple(_remarks(summary)),
            )
        )
        summaries.append(summary)
    found = [{model.role: model.mAP for model in summary.models} for summary in summaries]
    models = tuple(ModelOverSeeds(role=role, test=spread([one[role] for one in found])) for role in found[0])
    return _written(loaded, "run", summaries[0].test, runs, models)


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation; NaN says that a value does not exist."""
    found = [float(value) for value in values]
    if not all(map(math.isfinite, found)):
        kept = tuple(value if math.isfinite(value) else None for value in found)
        return Spread(values=kept, mean=None, deviation=None)
    deviation = statistics.stdev(found) if len(found) > 1 else None
    return Spread(values=tuple(found), mean=statistics.fmean(found), deviation=deviation)


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


def _announced(loaded: LoadedRecipe, seeds: Sequence[int], console: Console) -> Iterator[LoadedRecipe]:
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
    spec, teacher = experiment.recipe.teacher, experiment.teacher()
    models: dict[str, Student | MergedCheckpoint] = {"student": experiment.student(teacher)}
    if teacher is not None and (spec is None or (spec.checkpoint is None and spec.train is not None)):
        models = {"teacher": teacher, **models}
    return {role: _MeanAp(model.card.metrics["mAP"], _test(experiment, model)) for role, model in models.items()}


def _test(experiment: Experiment, model: Student | MergedCheckpoint) -> float:
    outputs = experiment.test(model)
    return metrics.evaluate(outputs.scores, outputs.dataset.labels)["mAP"]


def _remarks(summary: RunSummary) -> Iterator[Remark]:
    nothing_ran = summary.verdict == "could not run"
    judged: tuple[ArtifactParity | ArtifactBench, ...] = (*summary.parity.artifacts, *summary.bench.artifacts)
    for artifact in judged:
        for gate in artifact.gates:
            if not gate.passed:
                yield Remark(verdict=gate.verdict, sentence=f"{artifact.name}: {gate.sentence}")
        if artifact.reason and (artifact.verdict == "failed" or nothing_ran):
            yield Remark(verdict=artifact.verdict, sentence=f"{artifact.name}: {artifact.reason}")
    for artifact in summary.parity.artifacts:
        if artifact.verdict == "not judged" and not artifact.gates:
            yield Remark(verdict=artifact.verdict, sentence=f"{artifact.name}: its deploy config has no gate")


def _written(
    loaded: LoadedRecipe,
    command: Literal["distill", "run"],
    test: str,
    runs: Sequence[SeedRun],
    models: tuple[ModelOverSeeds, ...],
) -> SeedsReport:
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
