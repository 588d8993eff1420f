"""What a server takes upon itself, at most."""

import math

from ..errors import ConfigError
from ..predictor import Predictor
from ..record import Record

MOST_WINDOW_MS = 1000.0


class Limits(Record):
    """Limits of a server; docs/serve.md says how to choose them.

    Attributes:
        window_ms: how long an image waits for others that are inferred with it; 0 takes those that wait already.
        batch: images of one inference at most; None for the artifact's typical number on a CPU, where several
            inferences run at once, and its largest on other devices.
        megabytes: of one encoded image.
        megapixels: of one image, told by its header before it is decoded.
        pending: images under way at once, from their first byte to their answer; more are refused.
        body_seconds: for an image to arrive in full.
        stop_seconds: for what is under way when the server is told to stop.
    """

    window_ms: float = 0.0
    batch: int | None = None
    megabytes: float = 20.0
    megapixels: float = 50.0
    pending: int = 64
    body_seconds: float = 30.0
    stop_seconds: float = 30.0

    @property
    def most_bytes(self) -> int:
        return int(self.megabytes * 1e6)

    @property
    def most_pixels(self) -> int:
        return int(self.megapixels * 1e6)


def check_limits(limits: Limits, predictor: Predictor) -> int:
    """The images of one inference at most.

    Args:
        limits: what was asked for.
        predictor: what answers.

    Raises:
        ConfigError: a limit has no sense, or the artifact takes no such batch.
    """
    if not 0 <= limits.window_ms <= MOST_WINDOW_MS:
        raise ConfigError(f"a batching window of {limits.window_ms:g} ms: needs 0 to {MOST_WINDOW_MS:g}.")
    for name in ("megabytes", "megapixels", "body_seconds", "stop_seconds", "pending"):
        if not 0 < getattr(limits, name) < math.inf:
            raise ConfigError(f"{name} {getattr(limits, name):g}: needs a finite number above 0.")
    most = predictor.artifact.target.batch.max
    if limits.batch is not None and not 1 <= limits.batch <= most:
        raise ConfigError(f"a batch of {limits.batch}: the artifact takes 1 to {most} images.")
    return predictor.batch_size(limits.batch)
