"""The server scenario of one artifact: the capacity of its streams, then one rate after another."""

import math
from collections.abc import Callable

import numpy as np

from .artifact_run import ArtifactRun
from .figures import Server, Trial
from .messages import Saturate, Serve
from .plan import BenchPlan, queries_for
from .rate_search import RESOLUTION, RateSearch

TRIAL_LIMITS = 1 / RESOLUTION  # so many times the limit does a trial last


class ProcessLostError(Exception):
    """The artifact's process ended during a trial; `ArtifactRun.failure` says how."""


def search_rate(
    run: ArtifactRun, plan: BenchPlan, max_p99_ms: float, own: list[int], tell: Callable[[str], None]
) -> None:
    """Find the highest rate of a started artifact and keep it as `run.server`; nothing where its process is lost.

    Args:
        run: started.
        plan: how much to measure; a trial has a thousand images at least, for a p99, and lasts as long as the queue
            needs to grow beyond the limit at a rate that is `RESOLUTION` too high.
        max_p99_ms: the limit.
        own: the benchmark's processes.
        tell: called with a line before each trial.
    """
    least, seconds = (
        max(plan.queries, queries_for(0.99)),
        max(plan.seconds_per_turn, TRIAL_LIMITS * max_p99_ms / 1000.0),
    )

    def attempt(rate: float, number: int) -> Trial:
        queries = max(least, math.ceil(rate * seconds))
        tell(f"{run.name}: {rate:.4g} images a second")
        task = Serve(rate=rate, queries=queries, limit_ms=max_p99_ms, seed=number)
        answer = run.watched(number + 1, task, own, f"answering {rate:.4g} images a second")
        if answer is None:
            raise ProcessLostError
        complete = len(answer.samples_ms) == queries
        p99 = float(np.quantile(answer.samples_ms, 0.99)) if complete else None
        return Trial(rate=rate, queries=queries, p99_ms=p99, met=p99 is not None and p99 <= max_p99_ms)

    tell(f"{run.name}: all streams busy")
    busy = run.measured(Saturate(plan.queries_per_turn, plan.seconds_per_turn), "measuring the capacity")
    if busy is None or not busy.inferences_per_s:
        return
    search = RateSearch(attempt, busy.inferences_per_s)
    try:
        found = search.highest()
    except ProcessLostError:
        return
    run.server = Server(
        max_p99_ms=max_p99_ms,
        rate=None if found is None else found.rate,
        p99_ms=None if found is None else found.p99_ms,
        streams=run.setting.streams,
        capacity=busy.inferences_per_s,
        trials=tuple(search.trials),
    )
