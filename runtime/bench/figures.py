"""What a benchmark may find of an artifact besides its latency, as typed values."""

from ..interval import Interval
from ..record import Record


class Offline(Record):
    """Scenario "throughput": several inferences under way all the time, as MLPerf's offline scenario.

    Attributes:
        images_per_s: of all streams together, with its interval over the turns.
        streams: inferences under way at once, each by a copy of the artifact.
        p50_ms: median latency of one inference beside the others.
        p90_ms: its 0.9 quantile.
    """

    images_per_s: Interval
    streams: int
    p50_ms: float
    p90_ms: float


class Trial(Record):
    """One rate that was tried; its evidence and samples are those of the turn at the same place.

    Attributes:
        rate: images a second that came, on average.
        queries: how many were to come; where it was given up, the turn has fewer samples.
        p99_ms: 0.99 quantile of the time from an image's arrival to its answer; None where it was given up.
        met: p99 was within the limit.
    """

    rate: float
    queries: int
    p99_ms: float | None
    met: bool


class Server(Record):
    """Scenario "server": images come at random, as in MLPerf's server scenario.

    Attributes:
        max_p99_ms: the limit.
        rate: the highest in images a second that met the limit, confirmed with other arrivals; None where none did
            down to a thirty-second of the capacity.
        p99_ms: at that rate.
        streams: inferences under way at once, at most.
        capacity: images a second that the streams answer when they are kept busy.
        trials: every rate that was tried, in order; of a rate that is not None the last is the confirmation.
    """

    max_p99_ms: float
    rate: float | None
    p99_ms: float | None
    streams: int
    capacity: float
    trials: tuple[Trial, ...]


class Energy(Record):
    """What a counter of the machine says.

    Attributes:
        source: which counter: what it holds is the processor package or the module, whoever used it, idle power
            included.
        watts: mean power while it was measured, with its interval over the turns.
        joules_per_image: watts times the mean latency over the batch, or over the images a second.
    """

    source: str
    watts: Interval
    joules_per_image: float


class Spans(Record):
    """From an encoded photograph to labels, in one thread: medians in milliseconds.

    Attributes:
        photo: which photograph, for people.
        width: its pixels in a row.
        height: its rows.
        bytes: its encoded size.
        repeats: how often each was timed.
        decode_ms: from bytes to upright RGB pixels.
        resize_ms: to the graph's size.
        infer_ms: the backend's call, with what its input's kind wants before.
        post_ms: from logits to labels at their thresholds.
        total_ms: `Predictor.predict` as a whole, timed by itself.
    """

    photo: str
    width: int
    height: int
    bytes: int
    repeats: int
    decode_ms: float
    resize_ms: float
    infer_ms: float
    post_ms: float
    total_ms: float
