"""What the bundle's own photographs say, as typed values: rendering is apart."""

from ..record import Record
from ..verdicts import Verdict, overall


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
