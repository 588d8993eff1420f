"""What a bundle's results say: of each device the newest word on each artifact."""

import logging
from collections import Counter
from dataclasses import dataclass

from ..bench.report import ArtifactBench, BenchReport, split_samples
from ..bundle import Artifact, Bundle, StoredRun, read_samples, read_stored
from ..device import Device
from ..errors import EdgedistillError
from ..parity.report import ArtifactParity, ParityReport
from ..parity.scores import SplitScores, stored_scores

_log = logging.getLogger("edgedistill")


@dataclass(frozen=True)
class Place:
    """A device.

    Attributes:
        slug: of its folder in results/.
        name: for people.
        device: as its newest run describes it.
    """

    slug: str
    name: str
    device: Device


@dataclass(frozen=True)
class Compared:
    """The newest comparison of an artifact with the reference, on one device and one split.

    Attributes:
        scores: what was said of each image; None where it was not kept.
    """

    place: Place
    report: ParityReport
    artifact: ArtifactParity
    scores: SplitScores | None


@dataclass(frozen=True)
class Timed:
    """The newest measurement of an artifact on one device in one scenario and setting.

    Attributes:
        samples_ms: its steady inferences, disturbed turns included; empty where they were not kept.
        usual: with the deploy config's own threads, on its own device.
    """

    place: Place
    report: BenchReport
    artifact: ArtifactBench
    samples_ms: tuple[float, ...]
    usual: bool

    @property
    def name(self) -> str:
        """The artifact's in the manifest."""
        return self.artifact.artifact or self.artifact.name

    @property
    def images(self) -> int:
        """Images per inference."""
        return self.artifact.batch_size or self.report.batch_size

    def counted_ms(self) -> tuple[float, ...]:
        """The samples that the statistics rest on: those of the quiet turns, or all where those were too few."""
        turns = self.artifact.turns
        if self.artifact.disturbed or not turns or sum(turn.samples for turn in turns) != len(self.samples_ms):
            return self.samples_ms
        parts = zip(turns, split_samples(turns, self.samples_ms), strict=True)
        return tuple(value for turn, part in parts if turn.quiet for value in part)

    @property
    def is_headline(self) -> bool:
        """One image at a time, at the deploy config's own setting, and it ran: what artifacts are compared by."""
        single = self.report.scenario == "single" and self.images == 1 and self.artifact.latency is not None
        return single and self.usual and not self.artifact.artifact


@dataclass(frozen=True)
class Evidence:
    """Everything that a page is made of.

    Attributes:
        bundle: whose.
        places: devices with results of this bundle.
        compared: by verify.
        timed: by bench.
        left_out: how many runs are of another bundle that stood here, or of a version whose reports cannot be read.
    """

    bundle: Bundle
    places: tuple[Place, ...]
    compared: tuple[Compared, ...]
    timed: tuple[Timed, ...]
    left_out: int

    @property
    def split(self) -> str:
        """Fingerprint of the split that the page compares on: the lineage's where verify ran on it, else the newest."""
        lineage, found = self.bundle.manifest.lineage, [one.report for one in self.compared]
        if lineage is not None and any(report.fingerprint == lineage.fingerprint for report in found):
            return lineage.fingerprint
        return max(found, key=lambda report: report.created).fingerprint if found else ""

    def on_split(self) -> list[Compared]:
        """The comparisons on that split that have numbers."""
        split = self.split
        return [one for one in self.compared if one.report.fingerprint == split and one.artifact.ran]

    def artifact(self, name: str) -> Artifact | None:
        """The manifest's artifact of that name."""
        return next((one for one in self.bundle.manifest.artifacts if one.name == name), None)


def gather(bundle: Bundle) -> Evidence:
    """Read a bundle's results; what cannot be read is left out, and counted."""
    places: list[Place] = []
    compared: dict[tuple[str, str, str], Compared] = {}
    timed: dict[tuple[object, ...], Timed] = {}
    left_out = 0
    stored = read_stored(bundle)
    names = _names(stored)
    for slug, runs in stored.items():
        place, own = Place(slug, names[slug], runs[-1].run.device), 0
        for one in reversed(runs):
            if one.run.kind not in ("verify", "bench"):
                continue
            report = _report(one, bundle)
            if report is None:
                left_out += 1
                continue
            own += 1
            if isinstance(report, ParityReport):
                _add_parity(compared, place, report, one)
            else:
                _add_bench(timed, place, report, one, bundle)
        places += [place] if own else []
    return Evidence(bundle, tuple(places), tuple(compared.values()), tuple(timed.values()), left_out)


def _names(stored: dict[str, list[StoredRun]]) -> dict[str, str]:
    """What people call each device, by slug; two of one name are told apart by their slugs."""
    found = {}
    for slug, runs in stored.items():
        device = runs[-1].run.device
        found[slug] = (device.gpus[0].partition(",")[0] if device.gpus else device.cpu) or slug
    often = Counter(found.values())
    return {slug: name if often[name] == 1 else f"{name} ({slug})" for slug, name in found.items()}


def _report(stored: StoredRun, bundle: Bundle) -> ParityReport | BenchReport | None:
    run = stored.run
    try:
        report = run.decode(ParityReport) if run.kind == "verify" else run.decode(BenchReport)
    except EdgedistillError as error:
        _log.warning("%s: left out of the page: %s", stored.path, error)
        return None
    return report if report.manifest_sha256 == bundle.manifest_sha256 else None


def _add_parity(
    compared: dict[tuple[str, str, str], Compared], place: Place, report: ParityReport, stored: StoredRun
) -> None:
    new = [one for one in report.artifacts if (place.slug, report.fingerprint, one.name) not in compared]
    scores = stored_scores(read_samples(stored.path)) if new else None
    for one in new:
        compared[place.slug, report.fingerprint, one.name] = Compared(place, report, one, scores)


def _add_bench(
    timed: dict[tuple[object, ...], Timed], place: Place, report: BenchReport, stored: StoredRun, bundle: Bundle
) -> None:
    samples = read_samples(stored.path)
    targets = {artifact.name: artifact.target for artifact in bundle.manifest.artifacts}
    for one in report.artifacts:
        target = targets.get(one.artifact or one.name)
        usual = target is None or target.setting(one.threads, one.device) == target.setting(None, None)
        found = Timed(place, report, one, tuple(map(float, samples.get(one.name, one.samples_ms))), usual)
        setting = None if usual else (one.threads, one.device)
        timed.setdefault((place.slug, one.name, report.scenario, found.images, setting), found)
