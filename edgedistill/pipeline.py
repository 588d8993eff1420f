"""The whole chain: teacher, baseline, student, bundle, parity, latency. Every step is kept, and resumed."""

import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.markup import escape

from .distill.checkpoint import Student
from .distill.data.decoded import release_memory
from .distill.data.on_device import release_device_memory
from .distill.engine import Outputs
from .distill.experiment import Experiment
from .distill.experiment.experiment import Teacher
from .distill.experiment.outside import OutsideTeacher, shown_network
from .distill.models import MergedTeacher
from .distill.models.reparameterize import reparameterize
from .distill.models.size import count_parameters
from .distill.recipe.loaded import LoadedRecipe
from .export import export_bundle
from .export.golden import choose_golden
from .export.operating_points import choose_validation
from .export.quantization.calibration import Calibration, choose_calibration
from .export.repeating import made_already, request_digest
from .export.requested import int8_gates
from .export_check import check_export, check_student_gives
from .runtime import metrics
from .runtime.bench.report import BenchReport
from .runtime.bench.running import benchmark
from .runtime.bundle import Bundle
from .runtime.datasets import Dataset
from .runtime.files import write_atomic
from .runtime.metrics import threshold_rule
from .runtime.parity import ParityReport, verify
from .runtime.progress import counting
from .runtime.record import Record
from .runtime.targets import Target
from .runtime.verdicts import Verdict, overall

T = TypeVar("T")


class ModelResult(Record):
    """A PyTorch model on the test split.

    Attributes:
        role: "teacher", "baseline" (the student without a teacher) or "student".
        model: its name.
        method: what trained it.
        parameters: how many a device would load; None of a teacher that shows none.
        mAP: points, over the classes with a positive.
        OF1: points, at threshold 0.5.
        CF1: points, at threshold 0.5.
        images: how many were scored.
        skipped: those that could not be decoded, one line each.
    """

    role: str
    model: str
    method: str
    parameters: int | None
    mAP: float  # noqa: N815 (the field's spelling)
    OF1: float
    CF1: float
    images: int
    skipped: tuple[str, ...] = ()


class RunSummary(Record):
    """What a run found; summary.json in its folder.

    Attributes:
        name: of the run.
        test: the test split's name.
        models: teacher, baseline and student, as far as the recipe has them.
        bundle: its folder.
        parity: every runnable artifact against the PyTorch student on the whole test split.
        bench: latency of the same artifacts.
        seconds: wall time of each step in this process; a finished step that was only loaded takes next to none.
    """

    name: str
    test: str
    models: tuple[ModelResult, ...]
    bundle: str
    parity: ParityReport
    bench: BenchReport
    seconds: dict[str, float]

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Per artifact, the worst that verify and bench say of it; a latency that has no gate says nothing."""
        said = {artifact.name: [artifact.verdict] for artifact in self.parity.artifacts}
        for artifact in self.bench.artifacts:
            if artifact.verdict != "not judged":
                said[artifact.name].append(artifact.verdict)
        return {name: overall(words) for name, words in said.items()}

    @property
    def verdict(self) -> Verdict:
        """The worst of the artifacts' verdicts; those that could not run count only where none ran."""
        return overall(self.verdicts.values())


class Chain:
    """Runs a recipe step by step.

    Args:
        loaded: the recipe.
        console: where progress is drawn.
    """

    def __init__(self, loaded: LoadedRecipe, console: Console) -> None:
        self.loaded, self.console = loaded, console
        self.experiment = Experiment(loaded, console)
        self.seconds: dict[str, float] = {}

    def run(self) -> RunSummary:
        """Every step in order; one that finished in an earlier call is loaded, not repeated."""
        experiment, recipe = self.experiment, self.loaded.recipe
        check_export(self.loaded)
        splits = self._step("data", "Reading images and labels", lambda: experiment.splits)
        self._validation()  # that they have labels is told here, and not after the trainings
        check_student_gives(experiment)
        self._say(
            f"{len(splits.train)} training, {len(splits.validation)} validation, {len(splits.test)} test images; "
            f"{len(splits.train.classes)} classes"
        )
        trained: list[tuple[str, str, Teacher]] = []
        teacher = self._step("teacher", "Teacher", experiment.teacher) if self.loaded.has_teacher else None
        if teacher is not None and (not isinstance(teacher, OutsideTeacher) or teacher.knows(splits.test)):
            trained.append(("teacher", "labels", teacher))
        if recipe.baseline:
            experiment.require_good(teacher)  # told before the baseline is trained, too
            baseline = self._step("baseline", "Student without a teacher", lambda: experiment.baseline(teacher))
            trained.append(("baseline", "labels", baseline))
        method = recipe.method if isinstance(recipe.method, str) else recipe.method["name"]
        student = self._step("student", f"Student taught by {method}", lambda: experiment.student(teacher))
        trained.append(("student", method, student))

        release_memory()
        release_device_memory()
        outputs = self._step(
            "test", "Accuracy on the test split", lambda: [experiment.test(model) for _, _, model in trained]
        )
        models = tuple(
            _result(role, method, model, output) for (role, method, model), output in zip(trained, outputs, strict=True)
        )
        bundle = self._step("export", "Exporting the bundle", lambda: self._export(student, outputs[-1]))
        parity = self._step(
            "verify", "Verifying every artifact on the test split", lambda: self._verify(bundle, outputs[-1])
        )
        bench = self._step("bench", "Measuring latency", lambda: self._bench(bundle))
        summary = RunSummary(
            name=recipe.name,
            test=splits.test.name,
            models=models,
            bundle=str(bundle.root),
            parity=parity,
            bench=bench,
            seconds=self.seconds,
        )
        encoded = msgspec.json.format(msgspec.json.encode(summary), indent=2)
        write_atomic(experiment.folder / "summary.json", encoded)
        return summary

    def _export(self, student: Student, outputs: Outputs) -> Bundle:
        """The bundle of this very checkpoint; an earlier one is kept when it is that already."""
        out = self.experiment.folder / "bundle"
        targets = self.loaded.targets()
        count = self.loaded.recipe.export.selftest_images
        calibration, validation = self._calibration(targets), self._validation()
        thresholds = threshold_rule(self.loaded.recipe.export.thresholds)
        request = request_digest(
            student.sha256,
            targets,
            name=self.loaded.recipe.name,
            opset=self.loaded.recipe.export.opset,
            outputs=self.loaded.recipe.export.outputs,
            golden=count,
            references=[outputs.listed],
            calibration=calibration,
            validation=validation,
            thresholds=thresholds,
        )
        if (existing := made_already(out, request)) is not None:
            return existing
        with self.console.status("exporting") as status:
            return export_bundle(
                student,
                targets,
                out,
                name=self.loaded.recipe.name,
                outputs=self.loaded.recipe.export.outputs,
                golden=choose_golden(outputs.dataset.images, outputs.scores >= student.card.thresholds, count),
                reference=outputs.reference,
                opset=self.loaded.recipe.export.opset,
                calibration=calibration,
                validation=validation,
                thresholds=thresholds,
                request=request,
                progress=lambda step, total, text: status.update(f"{step}/{total} {text}"),
            )

    def _calibration(self, targets: list[Target]) -> Calibration | None:
        """Training images that measure, validation images that select; the test split does neither."""
        if int8_gates(targets) is None:
            return None
        splits, spec = self.experiment.splits, self.loaded.recipe.export.calibration
        return choose_calibration(
            splits.train,
            spec.images,
            held_out=splits.validation if len(splits.validation) else None,
            judged=spec.held_out,
            seed=self.loaded.recipe.seed,
        )

    def _validation(self) -> Dataset:
        """The validation images that thresholds are estimated on; they chose the epoch, and judge nothing."""
        recipe = self.loaded.recipe
        return choose_validation(self.experiment.splits.validation, recipe.export.validation_images, seed=recipe.seed)

    def _verify(self, bundle: Bundle, outputs: Outputs) -> ParityReport:
        """On the split as it is listed; images that cannot be decoded are named and left out."""
        with counting("verifying", self.console) as progress:
            return verify(bundle, outputs.listed, progress=progress)

    def _bench(self, bundle: Bundle) -> BenchReport:
        with self.console.status("measuring") as status:
            return benchmark(
                bundle, preset=self.loaded.recipe.export.bench, progress=lambda text: status.update(escape(text))
            )

    def _step(self, key: str, title: str, work: Callable[[], T]) -> T:
        self.console.print(f"[bold cyan]>[/] [bold]{title}[/]", highlight=False)
        started = time.perf_counter()
        result = work()
        self.seconds[key] = round(time.perf_counter() - started, 2)
        self._say(f"{self.seconds[key]:.1f} s")
        return result

    def _say(self, text: str) -> None:
        self.console.print(f"  [dim]{text}[/]", highlight=False)


def _result(role: str, method: str, student: Teacher, outputs: Outputs) -> ModelResult:
    found = metrics.evaluate(outputs.scores, outputs.dataset.labels)
    spec = student.card.model
    name = spec.name if spec.width == 1.0 else f"{spec.name} x{spec.width:g}"
    network = shown_network(student)
    if isinstance(student.model, MergedTeacher):
        name = f"{len(student.model.models)} of {name}"
    return ModelResult(
        role=role,
        model=name,
        method=method,
        parameters=None if network is None else count_parameters(reparameterize(network)),
        mAP=found["mAP"],
        OF1=found["OF1"],
        CF1=found["CF1"],
        images=found["images"],
        skipped=tuple(outputs.skipped),
    )
