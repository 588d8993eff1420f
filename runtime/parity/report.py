"""What `verify` and `selftest` found, as typed values: rendering is apart."""

from ..interval import Interval
from ..record import Record
from ..verdicts import Judgement, Verdict, overall


class ClassParity(Record):
    """One class, AP in points (0-100); None for a class without a positive among the images.

    Attributes:
        positives: images that show the class.
        reference_ap: the reference's AP.
        ap: the artifact's AP.
        drop: reference_ap - ap with its paired interval; one interval per class, not corrected for looking at many
            classes.
    """

    name: str
    positives: int
    reference_ap: float | None
    ap: float | None
    drop: Interval


class ReportedLabels(Record):
    """How right an artifact's labels are at its own thresholds, in points; None for a mean over nothing.

    Attributes:
        OP: precision over all labels that it reports.
        OR: recall over all labels that are there.
        OF1: their harmonic mean.
        CP: mean precision of the classes.
        CR: mean recall of the classes.
        CF1: their harmonic mean.
        ECE: expected calibration error of its probabilities.
    """

    OP: float | None
    OR: float | None
    OF1: float | None
    CP: float | None
    CR: float | None
    CF1: float | None
    ECE: float | None


class SkippedImageRecord(Record):
    """An image that is in no number of the report, and why."""

    id: str
    reason: str


class ReferenceParity(Record):
    """What the artifacts are compared with.

    Attributes:
        source: in words, e.g. "the training framework, stored at export".
        stored: it is the training framework's, not another artifact's.
        mean_ap: its mAP in points with its interval.
    """

    source: str
    mean_ap: Interval
    stored: bool = True


class ArtifactParity(Record):
    """One artifact against the reference.

    Attributes:
        verdict: "passed": every gate is met; "failed": a gate is missed, or the artifact was refused (its hash), gave
            up, or gave outputs that are no numbers; "undecided": too few images to tell; "not judged": it has no gate;
            "could not run": this machine lacks something.
        ran: it gave outputs, so that the numbers below are there.
        reason: why it did not run.
        bytes: size of its files.
        mean_ap: its mAP in points with its interval.
        drop: reference mAP - its mAP in points, paired over images, at the confidence of the deploy config's gates.
        classes: in the bundle's order.
        max_abs_logit: the largest absolute difference of any logit to the reference's.
        mean_abs_logit: the mean absolute difference.
        unchanged_images: share (0-1) of images whose reported labels, at the artifact's own thresholds, are those that
            the reference's logits give at the bundle's.
        labels: how right they are; None in reports of earlier versions.
        effective: what the backend says it really used.
        gates: the deploy config's limits, judged.
    """

    name: str
    backend: str
    precision: str
    bytes: int
    verdict: Verdict = "not judged"
    ran: bool = False
    reason: str = ""
    mean_ap: Interval | None = None
    drop: Interval | None = None
    classes: tuple[ClassParity, ...] = ()
    max_abs_logit: float | None = None
    mean_abs_logit: float | None = None
    unchanged_images: float | None = None
    labels: ReportedLabels | None = None
    effective: dict[str, str] = {}
    gates: tuple[Judgement, ...] = ()

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"

    @property
    def losses(self) -> tuple[ClassParity, ...]:
        """The classes that lost AP, the largest loss first."""
        lost = [entry for entry in self.classes if entry.drop.estimate is not None and entry.drop.estimate > 0]
        return tuple(sorted(lost, key=lambda entry: -(entry.drop.estimate or 0.0)))


class ParityReport(Record):
    """What `verify` found.

    Attributes:
        bundle: the bundle's name.
        manifest_sha256: of the manifest, so that a report is tied to the very files it judged.
        dataset: the split's name.
        fingerprint: Dataset.fingerprint() of the split.
        images: how many images every number rests on.
        skipped: the images that are in none.
        classes_without_positives: left out of every mAP.
        device: slug of the machine; the run's file in results/ describes it.
        created: ISO 8601, UTC.
        saved: where the report was saved; None when it was not.
        not_saved: why it was not.
    """

    bundle: str
    manifest_sha256: str
    dataset: str
    fingerprint: str
    images: int
    skipped: tuple[SkippedImageRecord, ...]
    classes_without_positives: int
    reference: ReferenceParity
    artifacts: tuple[ArtifactParity, ...]
    device: str
    created: str
    saved: str | None = None
    not_saved: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst of the artifacts' verdicts; those that could not run count only where none ran."""
        return overall(artifact.verdict for artifact in self.artifacts)

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"


class GoldenCheck(Record):
    """One photograph through one artifact.

    Attributes:
        file: the photograph, relative to the bundle.
        max_abs_logit: the largest absolute difference of a logit to the stored one; None if not a number.
        passed: it is within the tolerance.
    """

    file: str
    max_abs_logit: float | None
    passed: bool


class ArtifactSelfTest(Record):
    """One artifact on all photographs.

    Attributes:
        verdict: "passed": all photographs agree; "failed": one does not, or the artifact was refused or gave up;
            "could not run": this machine lacks something.
        sentence: for people: what was found, or why it did not run.
        tolerance: allowed absolute difference of a logit; None when it did not run.
        mean_abs_logit: the mean absolute difference over all photographs; None when it did not run.
        mean_tolerance: what is allowed of it; None where export measured none.
        tolerance_from: in words, where the tolerance comes from.
        images: one entry per photograph.
        effective: what the backend says it really used.
    """

    name: str
    backend: str
    precision: str
    verdict: Verdict
    sentence: str
    tolerance: float | None = None
    mean_abs_logit: float | None = None
    mean_tolerance: float | None = None
    tolerance_from: str = ""
    images: tuple[GoldenCheck, ...] = ()
    effective: dict[str, str] = {}

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"


class SelfTestReport(Record):
    """What `selftest` found.

    Attributes:
        bundle: the bundle's name.
        device: slug of the machine.
        decoder: what decoded the photographs, e.g. "Pillow 12.0, libjpeg-turbo 3.1".
        artifacts: in the manifest's order.
    """

    bundle: str
    device: str
    decoder: str
    artifacts: tuple[ArtifactSelfTest, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the artifacts' verdicts; those that could not run count only where none ran."""
        return overall(artifact.verdict for artifact in self.artifacts)

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"
