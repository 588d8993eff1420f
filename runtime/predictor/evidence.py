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


class Bench(Record):
    """Of a `bench.report.ArtifactBench`."""

    name: str
    status: str = ""
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


class _BenchReport(Record):
    manifest_sha256: str
    artifacts: tuple[Bench, ...] = ()
    batch_size: int = 1
    scenario: str = _SINGLE


class Evidence(NamedTuple):
    """The latest of each artifact, by name.

    Attributes:
        here: what verify found on this device.
        elsewhere: the same on others.
        benches: single images on this device, and when they were measured (ISO 8601).
    """

    here: dict[str, Parity]
    elsewhere: dict[str, Parity]
    benches: dict[str, tuple[Bench, str]]


def evidence(bundle: Bundle, decode: str) -> Evidence:
    """Of this very manifest and way of decoding; what another version wrote in other words tells nothing."""
    runs = read_runs(bundle)
    if not runs:
        return Evidence({}, {}, {})
    device = device_slug()
    own = runs.get(device, [])
    others = [run for slug in sorted(runs) if slug != device for run in runs[slug]]
    return Evidence(_parities(bundle, own, decode), _parities(bundle, others, decode), _benches(bundle, own))


def _parities(bundle: Bundle, runs: Sequence[Run], decode: str) -> dict[str, Parity]:
    found: dict[str, Parity] = {}
    for run in sorted(runs, key=lambda run: run.created):
        report = _decoded(run, "verify", _ParityReport)
        if report is None or report.manifest_sha256 != bundle.manifest_sha256 or report.decode != decode:
            continue
        found.update({one.name: one for one in report.artifacts if one.verdict != "could not run"})
    return found


def _benches(bundle: Bundle, runs: Sequence[Run]) -> dict[str, tuple[Bench, str]]:
    found: dict[str, tuple[Bench, str]] = {}
    for run in sorted(runs, key=lambda run: run.created):
        report = _decoded(run, "bench", _BenchReport)
        if report is None or report.manifest_sha256 != bundle.manifest_sha256:
            continue
        if report.batch_size == 1 and report.scenario == _SINGLE:
            found.update({one.name: (one, run.created) for one in report.artifacts if one.status == "ran"})
    return found


def _decoded(run: Run, kind: str, into: type[R]) -> R | None:
    if run.kind != kind:
        return None
    try:
        return run.decode(into)
    except BundleError:
        return None
