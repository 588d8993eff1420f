"""The gates that a benchmark can judge: latency of one image, memory, size."""

import math

import msgspec

from ..bundle import Artifact
from ..errors import ConfigError
from ..targets import Gates
from ..verdicts import Judgement, judge_at_most
from .plan import queries_for
from .report import ArtifactBench

_JUDGED = ("max_p90_ms", "max_p95_ms", "max_rss", "max_bytes")
_QUANTILES = {"max_p90_ms": 0.90, "max_p95_ms": 0.95}


def limits_of(artifact: Artifact, given: Gates | None) -> Gates:
    """The deploy config's gates, overruled by those that are given; raises ConfigError as `check_limits`."""
    if given is None:
        return artifact.target.limits
    check_limits(given)
    said = {name: limit for name in _JUDGED if (limit := getattr(given, name)) is not None}
    return msgspec.structs.replace(artifact.target.limits, **said)


def check_limits(given: Gates) -> None:
    """Raise ConfigError for a limit that nothing can meet."""
    for name in _JUDGED:
        limit = getattr(given, name)
        if limit is not None and not 0 < limit < math.inf:
            raise ConfigError(f"--{name.replace('_', '-')} {limit:g} (`{name}`): needs more than 0.")


def check_timed(given: Gates, *, single_images: bool) -> None:
    """Raise ConfigError for a limit of the latency of one image where none is measured: nothing would judge it."""
    name = next((name for name in _QUANTILES if getattr(given, name) is not None), None)
    if name is not None and not single_images:
        raise ConfigError(
            f"--{name.replace('_', '-')} (`{name}`): is judged on the latency of single images, and none is measured "
            "here: leave it out, or measure them with --scenario single."
        )


def queries_for_gates(limits: Gates) -> int:
    """The fewest inferences from which the quantiles that have a limit may be stated; 0 without one."""
    return max((queries_for(p) for name, p in _QUANTILES.items() if getattr(limits, name) is not None), default=0)


def judge_limits(limits: Gates, measured: ArtifactBench) -> tuple[Judgement, ...]:
    """Hold one artifact's figures against limits; a latency's only where single images were measured."""
    judged = []
    if measured.latency is not None and measured.batch_size in (None, 1):
        for name, p in _QUANTILES.items():
            if (limit := getattr(limits, name)) is None:
                continue
            found = measured.latency.p90 if p == 0.90 else measured.latency.p95
            more = "measure on a quiet machine" if measured.disturbed else "a longer preset would tell"
            what = f"p{100 * p:g} latency"
            judged.append(judge_at_most(name, found, limit, what=what, unit="ms", doubt=measured.disturbed, more=more))
    if limits.max_rss is not None:
        judged.append(_in_megabytes("max_rss", measured.peak_rss_bytes, limits.max_rss, "peak RSS"))
    if limits.max_bytes is not None:
        judged.append(_in_megabytes("max_bytes", measured.bytes, limits.max_bytes, "size"))
    return tuple(judged)


def _in_megabytes(name: str, observed: int | None, limit: int, what: str) -> Judgement:
    """Bytes, told in megabytes."""
    megabytes = None if observed is None else observed / 1e6
    doubt = "this system does not tell" if observed is None else ""
    judged = judge_at_most(name, megabytes, limit / 1e6, what=what, unit="MB", doubt=doubt)
    return msgspec.structs.replace(judged, observed=observed, limit=limit)
