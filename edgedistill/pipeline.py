"""The whole chain: teacher, baseline, student, bundle, parity, latency, page. Every step is kept, and resumed."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.markup import escape

from .distill.checkpoint import Student
from .distill.data.decoded import release_memory
from .distill.data.on_device import release_device_memory
from .distill.engine import Outputs
from .distill.experiment import Experiment, Teacher
from .distill.experiment.outside import OutsideTeacher
from .distill.recipe.loaded import LoadedRecipe
from .export import export_bundle
from .export.golden import choose_golden
from .export.operating_points import choose_validation
from .export.quantization.calibration import Calibration, choose_calibration
from .export.repeating import made_already, request_digest
from .export.requested import int8_gates
from .export_check import check_export, check_student_gives
from .run_summary import ModelResult, RunSummary, lineage, model_result
from .runtime.bench.report import BenchReport
from .runtime.bench.running import benchmark
from .runtime.bundle import Bundle
from .runtime.datasets import Dataset
from .runtime.errors import EdgedistillError
from .runtime.files import write_atomic
from .runtime.metrics import threshold_rule
from .runtime.parity import ParityReport, verify
from .runtime.progress import counting
from .runtime.report import write_report
from .runtime.targets import Target

T = TypeVar("T")


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
        experiment.require_student()
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
        taught = f"Student taught by {recipe.method_name}"
        student = self._step("student", taught, lambda: experiment.student(teacher))
        trained.append(("student", recipe.method_name, student))

        release_memory()
        release_device_memory()
        outputs = self._step(
            "test", "Accuracy on the test split", lambda: [experiment.test(model) for _, _, model in trained]
        )
        models = tuple(
            model_result(role, method, model, output)
            for (role, method, model), output in zip(trained, outputs, strict=True)
        )
        bundle = self._step("export", "Exporting the bundle", lambda: self._export(student, outputs[-1], models))
        parity = self._step(
            "verify", "Verifying every artifact on the test split", lambda: self._verify(bundle, outputs[-1])
        )
        bench = self._step("bench", "Measuring latency", lambda: self._bench(bundle))
        report = self._step("report", "Writing the page", lambda: self._report(bundle))
        summary = RunSummary(
            name=recipe.name,
            test=splits.test.name,
            models=models,
            bundle=str(bundle.root),
            parity=parity,
            bench=bench,
            report=report,
            seconds=self.seconds,
        )
        encoded = msgspec.json.format(msgspec.json.encode(summary), indent=2)
        write_atomic(experiment.folder / "summary.json", encoded)
        return summary

    def _export(self, student: Student, outputs: Outputs, models: Sequence[ModelResult]) -> Bundle:
        """The bundle of this very checkpoint; an earlier one is kept when it is that already."""
        out = self.experiment.folder / "bundle"
        targets = self.loaded.targets()
        count = self.loaded.recipe.export.selftest_images
        calibration, validation = self._calibration(targets), self._validation()
        thresholds = threshold_rule(self.loaded.recipe.export.thresholds)
        descent = lineage(models, outputs)
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
            lineage=descent,
        )
        if (existing := made_already(out, request)) is not None:
            return existing
        with self.console.status("exporting") as status:
            return export_bundle(
                student,
                targets,
                out,
                name=self.loaded.recipe.name,
                lineage=descent,
                outputs=self.loaded.recipe.export.outputs,
                golden=choose_golden(outputs.dataset.images, outputs.scores >= student.card.thresholds, count),
                reference=outputs.reference,
                opset=self.loaded.recipe.export.opset,
                calibration=calibration,
                validation=validation,
                thresholds=thresholds,
                request=request,
                progress=lambda step, total, text: status.update(f"{step}/{total} {escape(text)}"),
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

    def _report(self, bundle: Bundle) -> str:
        """Where the page is; a run that has found everything else does not fail for it."""
        try:
            return str(write_report(bundle))
        except EdgedistillError as error:
            self._say(f"not written: {escape(str(error))}")
            return ""

    def _step(self, key: str, title: str, work: Callable[[], T]) -> T:
        self.console.print(f"[bold cyan]>[/] [bold]{title}[/]", highlight=False)
        started = time.perf_counter()
        result = work()
        self.seconds[key] = round(time.perf_counter() - started, 2)
        self._say(f"{self.seconds[key]:.1f} s")
        return result

    def _say(self, text: str) -> None:
        self.console.print(f"  [dim]{text}[/]", highlight=False)
