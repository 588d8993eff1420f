"""What layers in float cost in time: two files of one network, in turns."""

from pathlib import Path
from time import perf_counter

import numpy as np

from .graph_images import GraphImages

_WARM_UP = 5
_TURNS = 40


def latency_ratio(model: Path, other: Path, images: GraphImages) -> float:
    """How many times as long a file takes as another, at batch 1 in onnxruntime on this CPU: the median of the turns.

    In one process and quick, so for two files of one backend only; `edgedistill bench` measures latencies.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # what goes wrong comes as an exception
    sessions = [onnxruntime.InferenceSession(str(path), settings) for path in (model, other)]
    takes = sessions[0].get_inputs()[0]
    feeds = {takes.name: next(images.batches(takes.shape[0], 1))}
    times = np.empty((_WARM_UP + _TURNS, 2))
    for turn in range(len(times)):
        for at, session in enumerate(sessions):
            begun = perf_counter()
            session.run(None, feeds)
            times[turn, at] = perf_counter() - begun
    return float(np.median(times[_WARM_UP:, 0] / times[_WARM_UP:, 1]))
