"""One artifact's part of the report: the figures of its scenario, from its turns."""

import statistics
from dataclasses import dataclass

import msgspec
import numpy as np

from ..bundle import Artifact
from ..bundle.selection import NotRunnable
from .disturbance import disturbance, in_words, worst
from .figures import Energy, Offline, Server, Spans
from .messages import Started
from .plan import BenchPlan
from .report import ArtifactBench, split_samples
from .scenarios import Setting
from .statistics import mean_of_turns, summarise
from .turn import Turn


@dataclass(frozen=True)
class ArtifactMeasurements:
    """What an artifact's processes gave.

    Attributes:
        started: of each process.
        turns: judged, in the order measured.
        samples_ms: of all turns.
        peak_rss_bytes: of the process that held most.
        spans: of a photograph.
        server: the search, in that scenario.
        power_source: which counter gave the turns' watts.
    """

    started: tuple[Started, ...]
    turns: tuple[Turn, ...]
    samples_ms: tuple[float, ...]
    peak_rss_bytes: int | None
    spans: Spans | None
    server: Server | None
    power_source: str | None


def describe(
    artifact: Artifact,
    setting: Setting,
    found: ArtifactMeasurements | NotRunnable,
    *,
    name: str,
    plan: BenchPlan,
    rounds: int,
) -> ArtifactBench:
    """The artifact's entry, not judged yet.

    Args:
        artifact: which.
        setting: how it was measured.
        found: what was measured, or why nothing was.
        name: unique in the report.
        plan: how much was to be measured.
        rounds: how many were completed.
    """
    head = ArtifactBench(
        name=name,
        artifact="" if name == artifact.name else artifact.name,
        backend=artifact.backend,
        precision=artifact.precision,
        status="ran",
        bytes=artifact.size,
        sha256=artifact.files[0].sha256 if artifact.files else "",
        batch_size=setting.batch_size,
        threads=setting.threads,
        device=setting.device,
        streams=setting.streams,
    )
    if isinstance(found, NotRunnable):
        status = "failed" if found.refused else "could_not_run"
        return msgspec.structs.replace(head, status=status, reason=found.reason)
    planned = min(rounds, plan.rounds)
    if found.server is not None:
        disturbed = _disturbed_search(found.server, found.turns)
    else:
        disturbed = disturbance(found.turns, planned, planned * plan.queries_per_turn)
    measured = msgspec.structs.replace(
        head,
        processes=len(found.started),
        import_ms=statistics.median(one.import_ms for one in found.started),
        load_ms=statistics.median(one.load_ms for one in found.started),
        first_ms=statistics.median(one.first_ms for one in found.started),
        turns=found.turns,
        samples_ms=found.samples_ms,
        disturbed=disturbed,
        peak_rss_bytes=found.peak_rss_bytes,
        effective=found.started[-1].effective,
        spans=found.spans,
        server=found.server,
    )
    if found.turns and found.server is None:
        counted = [turn.quiet or bool(disturbed) for turn in found.turns]
        measured = _with_figures(measured, setting, counted, found.power_source)
    return measured


def _with_figures(
    measured: ArtifactBench, setting: Setting, counted: list[bool], power_source: str | None
) -> ArtifactBench:
    """With the statistics of the turns that count: the quiet ones, or all of them."""
    turns = [turn for turn, counts in zip(measured.turns, counted, strict=True) if counts]
    by_turn = split_samples(measured.turns, measured.samples_ms)
    samples = [values for values, counts in zip(by_turn, counted, strict=True) if counts]
    rates = [turn.inferences_per_s for turn in turns if turn.inferences_per_s is not None]
    if rates:
        p50, p90 = np.quantile(np.concatenate(samples), [0.5, 0.9])
        images_per_s = mean_of_turns([rate * setting.batch_size for rate in rates])
        offline = Offline(images_per_s=images_per_s, streams=setting.streams, p50_ms=float(p50), p90_ms=float(p90))
        measured = msgspec.structs.replace(measured, offline=offline)
        images = images_per_s.estimate
    else:
        latency = summarise(samples)
        measured = msgspec.structs.replace(measured, latency=latency)
        images = 1000.0 * setting.batch_size / latency.mean_ms
    watts = [turn.watts for turn in turns if turn.watts is not None]
    if power_source is None or len(watts) < len(turns) or not images:
        return measured
    power = mean_of_turns(watts)
    energy = Energy(source=power_source, watts=power, joules_per_image=float(np.mean(watts)) / images)
    return msgspec.structs.replace(measured, energy=energy)


def _disturbed_search(server: Server, turns: tuple[Turn, ...]) -> str:
    """A disturbed trial that failed may have failed for that reason alone."""
    doubtful = [turn for trial, turn in zip(server.trials, turns, strict=True) if not (trial.met or turn.quiet)]
    if not doubtful:
        return ""
    return f"{len(doubtful)} of {len(turns)} trials failed and were disturbed: {in_words(worst(doubtful))}"
