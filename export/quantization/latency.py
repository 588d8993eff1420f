"""What layers in float cost in time: two files of one network, in turns."""

from collections.abc import Callable
from time import perf_counter

import numpy as np

_WARM_UP = 5
_TURNS = 40


def latency_ratio(one: Callable[[], object], other: Callable[[], object]) -> float:
    """How many times as long one takes as another: the median of the turns.

    In one process and quick, so for two files of one backend only; `edgedistill bench` measures latencies.
    """
    times = np.empty((_WARM_UP + _TURNS, 2))
    for turn in range(len(times)):
        for at, run in enumerate((one, other)):
            begun = perf_counter()
            run()
            times[turn, at] = perf_counter() - begun
    return float(np.median(times[_WARM_UP:, 0] / times[_WARM_UP:, 1]))
