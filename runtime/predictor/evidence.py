"""What `verify` and `bench` have recorded of a bundle's artifacts, as far as it helps to choose among them.

Only the fields that decide are read, so that loading a model needs neither command's code.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from ..bundle.opened import Bundle
from ..bundle.results import Run, read_runs
from ..device import device_slug
from ..errors import BundleError
from ..interval import Interval
from ..record import Record

_SINGLE = "single"
R = TypeVar("R", bound=Record)


class Gate(Record):
    """Of a `verdicts.Judgement`."""

    verdict: str
    sentence: str


class _Latency(Record):
    p90: Interval


class Parity(Record):
    """Of a `parity.report.ArtifactParity`."""

    name: str
    verdict: str = "not judged"
    reason: str = ""
    max_abs_logit: float | None = None
    gates: tuple[Gate, ...] = ()

    @property
    def tells(self) -> bool:
        """Whether it says anything of the gates, which too few images do not."""
        return self.verdict in ("passed", "failed")


class Bench(Record):
    """Of a `bench.report.ArtifactBench`."""

    name: str
    artifact: str = ""  # where `name` says more: in a sweep
    status: str = ""
    threads: int | None = None
    device: str | None = None
    disturbed: str = ""
    latency: _Latency | None = None
    gates: tuple[Gate, ...] = ()

    @property
    def p90_ms(self) -> float | None:
        """None where the machine was disturbed, too."""
        return None if self.latency is None or self.disturbed else self.latency.p90.estimate


class _ParityReport(Record):
    manifest_sha256: str
    artifacts: tuple[Parity, ...] = ()
    decode: str = "full"
    images: int = 0


class _BenchReport(Record):
    manifest_sha256: str
    artifacts: tuple[Bench, ...] = ()
    batch_size: int = 1
    scenario: str = _SINGLE


class Evidence(NamedTuple):
    """The latest of each artifact, by name; of those that tell nothing an earlier one that does.

    Attributes:
        here: what verify found on this device.
        elsewhere: the same on others.
        benches: single images on this device in the setting that is asked for, and when they were measured (ISO 8601).
    """

    here: dict[str, Parity]
    elsewhere: dict[str, Parity]
    benches: dict[str, tuple[Bench, str]]


def evidence(bundle: Bundle, decode: str, *, threads: int | None = None, device: str | None = None) -> Evidence:
    """Of this very manifest and way of decoding; what another version wrote in other words tells nothing.

    Args:
        bundle: whose results are read.
        decode: how images will be decoded.
        threads: of the backends; None for the deploy configs'.
        device: the backends' device word; None for the deploy configs'.
    """
    runs = read_runs(bundle)
    if not runs:
        return Evidence({}, {}, {})
    here = device_slug()
    own = runs.get(here, [])
    others = [run for slug in sorted(runs) if slug != here for run in runs[slug]]
    benches = _benches(bundle, own, threads, device)
    return Evidence(_parities(bundle, own, decode), _parities(bundle, others, decode), benches)


def _parities(bundle: Bundle, runs: Sequence[Run], decode: str) -> dict[str, Parity]:
    found: dict[str, Parity] = {}
    images: dict[str, int] = {}
    for run in sorted(runs, key=lambda run: run.created):
        report = _decoded(run, "verify", _ParityReport)
        if report is None or report.manifest_sha256 != bundle.manifest_sha256 or report.decode != decode:
            continue
        for one in report.artifacts:
            before = found.get(one.name)
            told_more = before is not None and before.tells and not one.tells and report.images < images[one.name]
            if one.verdict != "could not run" and not told_more:
                found[one.name], images[one.name] = one, report.images
    return found


def _benches(
    bundle: Bundle, runs: Sequence[Run], threads: int | None, device: str | None
) -> dict[str, tuple[Bench, str]]:
    targets = {artifact.name: artifact.target for artifact in bundle.manifest.artifacts}
    found: dict[str, tuple[Bench, str]] = {}
    for run in sorted(runs, key=lambda run: run.created):
        report = _decoded(run, "bench", _BenchReport)
        if report is None or report.manifest_sha256 != bundle.manifest_sha256:
            continue
        if report.batch_size != 1 or report.scenario != _SINGLE:
            continue
        for one in report.artifacts:
            name = one.artifact or one.name
            target = targets.get(name)
            if one.status != "ran" or target is None:
                continue
            quiet_before = name in found and not found[name][0].disturbed
            if target.setting(one.threads, one.device) == target.setting(threads, device) and not (
                one.disturbed and quiet_before
            ):
                found[name] = one, run.created
    return found


def _decoded(run: Run, kind: str, into: type[R]) -> R | None:
    if run.kind != kind:
        return None
    try:
        return run.decode(into)
    except BundleError:
        return None
