"""What `check` found, as typed values: rendering is apart."""

from ..interval import Interval
from ..parity.report import SkippedImageRecord
from ..record import Record
from ..verdicts import Judgement, Verdict, overall


class ClassAgreement(Record):
    """One class by the artifact and by the reference.

    Attributes:
        gained: images of which the artifact alone reports it.
        lost: images of which the reference alone does.
        both: images of which both do.
        rank: Spearman's correlation of the two scores.
    """

    name: str
    gained: int
    lost: int
    both: int
    rank: Interval


class Agreement(Record):
    """Whether an artifact says the same as a reference; both may be wrong.

    Attributes:
        source: what it is compared with, in words.
        images: how many have scores of both.
        same: share (0-1) of images with the same labels, with its interval.
        changed: percent of images with another label, with its interval.
        mean_difference: mean absolute difference of a probability.
        classes: in the bundle's order.
    """

    source: str
    images: int
    same: Interval
    changed: Interval
    mean_difference: float
    classes: tuple[ClassAgreement, ...]

    @property
    def flipped(self) -> tuple[ClassAgreement, ...]:
        """The classes whose label differs somewhere, the most often first."""
        found = [one for one in self.classes if one.gained + one.lost]
        return tuple(sorted(found, key=lambda one: -(one.gained + one.lost)))


class ClassDrift(Record):
    """How far one class's scores are from those that were recorded.

    Attributes:
        distance: Kolmogorov and Smirnov's (0-1), with an interval that holds for all classes together.
        probability: of such a distance where nothing changed, corrected for the number of classes (Holm).
        found: that probability is below 1 - confidence.
        higher: the scores' median is higher than then.
        reported_then: share of images of which the label was reported; None where that is not recorded.
        reported_now: the same now, with its interval.
    """

    name: str
    distance: Interval
    probability: float
    found: bool
    higher: bool
    reported_then: float | None
    reported_now: Interval


class EmbeddingDrift(Record):
    """How far the photographs' embeddings are from those that were recorded.

    Attributes:
        distance: the largest of the projections' distances (0-1).
        probability: of such a one where nothing changed, corrected for the number of projections (Holm).
        found: that probability is below 1 - confidence.
        shift: how far the mean moved, in standard deviations, averaged over the features; 0 is what chance explains.
        far: percent of images further from the recorded mean than 99 of 100 were.
    """

    distance: float
    probability: float
    found: bool
    shift: float
    far: float


class Drift(Record):
    """Photographs of this device beside what was recorded.

    Attributes:
        source: what they are compared with, in words.
        images_then: how many images that rests on.
        confidence: level of the intervals and tests.
        visible: the smallest distance of a class that so many images would tell.
        classes: in the bundle's order.
        embedding: None where the bundle has none.
    """

    source: str
    images_then: int
    confidence: float
    visible: float
    classes: tuple[ClassDrift, ...]
    embedding: EmbeddingDrift | None = None

    @property
    def found(self) -> tuple[ClassDrift, ...]:
        """The classes that score otherwise, the furthest first."""
        return tuple(sorted((one for one in self.classes if one.found), key=lambda one: -(one.distance.estimate or 0)))


class DoubtfulLabel(Record):
    """A label that an image would settle.

    Attributes:
        probability: the artifact's.
        threshold: from which it reports the label.
        reference: the reference's probability; None without one.
    """

    name: str
    probability: float
    threshold: float
    reference: float | None = None


class ImageToLabel(Record):
    """An image that is worth a person's time.

    Attributes:
        value: how many of its labels are in doubt or in dispute.
        labels: those that the artifact reports, to be confirmed.
        doubtful: the labels that are least settled, the least first.
    """

    id: str
    value: float
    labels: tuple[str, ...]
    doubtful: tuple[DoubtfulLabel, ...]


class CheckReport(Record):
    """What `check` found.

    Attributes:
        bundle: the bundle's name.
        manifest_sha256: ties the report to the very files that it checks.
        artifact: name of the one that ran.
        effective: what its backend says it really used.
        photographs: where they came from, in words.
        images: how many every number rests on.
        skipped: those that are in none.
        agreement: with a reference; None where none was given.
        drift: against what the bundle recorded; None where it recorded nothing.
        no_drift: why there is none.
        to_label: the images that are worth labelling, the most first.
        conclusions: what can be said of this, and what cannot, in sentences.
        gates: the limits that were asked for, judged.
        device: slug of the machine; the run's file in results/ describes it.
        created: ISO 8601, UTC.
        saved: where the report was saved; None when it was not.
        not_saved: why it was not.
    """

    bundle: str
    manifest_sha256: str
    artifact: str
    effective: dict[str, str]
    photographs: str
    images: int
    skipped: tuple[SkippedImageRecord, ...]
    agreement: Agreement | None
    drift: Drift | None
    no_drift: str
    to_label: tuple[ImageToLabel, ...]
    conclusions: tuple[str, ...]
    gates: tuple[Judgement, ...]
    device: str
    created: str
    saved: str | None = None
    not_saved: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst of the gates'; "not judged" without any."""
        return overall(gate.verdict for gate in self.gates)

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"
