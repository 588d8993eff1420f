"""What a run found: the models on the test split, the artifacts on this machine, and the words for it all."""

from collections.abc import Sequence

from .distill.engine import Outputs
from .distill.experiment import Teacher
from .distill.experiment.outside import shown_network
from .distill.models import MergedTeacher
from .distill.models.reparameterize import reparameterize
from .distill.models.size import count_parameters
from .runtime import metrics
from .runtime.bench.report import BenchReport
from .runtime.bundle import Ancestor, Lineage
from .runtime.parity import ParityReport
from .runtime.record import Record
from .runtime.verdicts import Verdict, overall


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
        report: the page with all of it; empty where it could not be written.
    """

    name: str
    test: str
    models: tuple[ModelResult, ...]
    bundle: str
    parity: ParityReport
    bench: BenchReport
    seconds: dict[str, float]
    report: str = ""

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


def model_result(role: str, method: str, student: Teacher, outputs: Outputs) -> ModelResult:
    """How a model did on the test split."""
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


def lineage(models: Sequence[ModelResult], outputs: Outputs) -> Lineage:
    """The chain's models as the bundle remembers them; `outputs` are the student's on the test split."""
    networks = tuple(
        Ancestor(
            role=model.role,
            model=model.model,
            taught_by=model.method,
            parameters=model.parameters,
            mAP=model.mAP,
            OF1=model.OF1,
            CF1=model.CF1,
        )
        for model in models
    )
    split = outputs.listed
    return Lineage(networks=networks, dataset=split.name, fingerprint=split.fingerprint(), images=len(outputs.dataset))
