"""What `verify` found, as typed values: rendering is apart."""

from ..interval import Interval
from ..record import Record
from ..verdicts import Judgement, Verdict, overall
from .golden_report import ArtifactSelfTest


class ClassParity(Record):
    """One class, AP in points (0-100); None for a class without a positive among the images.

    Attributes:
        positives: images that show the class.
        reference_ap: the reference's AP.
        ap: the artifact's AP.
        drop: reference_ap - ap with its paired interval; one interval per class, not corrected for looking at many
            classes.
        gained: images of which the artifact reports the class and the reference does not.
        lost: the other way round.
    """

    name: str
    positives: int
    reference_ap: float | None
    ap: float | None
    drop: Interval
    gained: int = 0
    lost: int = 0

    @property
    def change(self) -> float:
        """How much its AP moved, in points, up or down; 0 where there is none."""
        return abs(self.drop.estimate or 0.0)


class LabelFlips(Record):
    """Where the labels that an artifact reports are not the reference's, each at its own thresholds.

    Attributes:
        same: share (0-1) of images whose labels are all the same, with its interval.
        images: how many images have another label.
        gained: labels that the artifact alone reports.
        lost: labels that the reference alone reports.
        mended: of both, those where the annotations agree with the artifact.
        broken: those where they agree with the reference.
    """

    same: Interval
    images: int
    gained: int
    lost: int
    mended: int
    broken: int


class ChangedImage(Record):
    """An image of which the artifact says something else than the reference.

    Attributes:
        id: in the data set.
        gained: classes that the artifact alone reports.
        lost: classes that the reference alone reports.
        name: the class whose probability changed most; of those whose label is another, where there are any.
        before: its probability by the reference.
        after: its probability by the artifact.
    """

    id: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    name: str
    before: float
    after: float


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
        protocol: how labels are made of probabilities, in the words of `metrics.evaluate`.
        OF1_drop: the reference's OF1 at its thresholds minus this one, paired over images.
        CF1_drop: the same of CF1.
    """

    OP: float | None
    OR: float | None
    OF1: float | None
    CP: float | None
    CR: float | None
    CF1: float | None
    ECE: float | None
    protocol: str = ""
    OF1_drop: Interval | None = None
    CF1_drop: Interval | None = None


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
        artifact: name of the artifact that it is; empty where it is none.
    """

    source: str
    mean_ap: Interval
    stored: bool = True
    artifact: str = ""


class ArtifactParity(Record):
    """One artifact against the reference.

    Attributes:
        verdict: "passed": every gate is met; "failed": a gate is missed, the bundle's own photographs give other
            outputs than at export, or the artifact was refused (its hash), gave up, or gave outputs that are no
            numbers; "undecided": too few images to tell; "not judged": it has no gate; "could not run": this machine
            lacks something.
        ran: it gave outputs, so that the numbers below are there.
        reason: why it did not run.
        bytes: size of its files.
        mean_ap: its mAP in points with its interval.
        golden: the bundle's own photographs, whose decoding and resizing are proven too; None where it has none.
        drop: reference mAP - its mAP in points, paired over images, at the confidence of the deploy config's gates.
        bootstrap_drop: the same by the paired bootstrap over images, where it was asked for.
        classes: in the bundle's order.
        max_abs_logit: the largest absolute difference of any logit to the reference's.
        mean_abs_logit: the mean absolute difference.
        unchanged_images: share (0-1) of images whose reported labels, at the artifact's own thresholds, are those that
            the reference's logits give at the bundle's.
        flips: which labels are others; None in reports of earlier versions.
        changed: the images that changed most, the most first; none that hardly changed.
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
    golden: ArtifactSelfTest | None = None
    drop: Interval | None = None
    bootstrap_drop: Interval | None = None
    classes: tuple[ClassParity, ...] = ()
    max_abs_logit: float | None = None
    mean_abs_logit: float | None = None
    unchanged_images: float | None = None
    flips: LabelFlips | None = None
    changed: tuple[ChangedImage, ...] = ()
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

    @property
    def changed_classes(self) -> tuple[ClassParity, ...]:
        """The classes whose AP or labels are others, the largest change of AP first."""
        changed = [entry for entry in self.classes if entry.change or entry.gained or entry.lost]
        return tuple(sorted(changed, key=lambda entry: (-entry.change, -(entry.gained + entry.lost))))


class ParityReport(Record):
    """What `verify` found.

    Attributes:
        bundle: the bundle's name.
        manifest_sha256: of the manifest, so that a report is tied to the very files it judged.
        dataset: the split's name.
        fingerprint: Dataset.fingerprint() of the split.
        images: how many images every number rests on.
        decode: how they were decoded: "full" or "reduced", see `runtime.load`.
        skipped: the images that are in none.
        preset: "99" or "99.9" where artifacts are held to that share of the reference's mAP; empty otherwise.
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
    preset: str = ""
    decode: str = "full"
    saved: str | None = None
    not_saved: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst of the artifacts' verdicts; those that could not run count only where none ran."""
        return overall(artifact.verdict for artifact in self.artifacts)

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"
