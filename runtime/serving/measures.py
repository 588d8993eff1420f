"""What a server counts, as Prometheus reads it: GET /metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from ..predictor import Predictor

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Measures:
    """Counters of one server, in a registry of their own: an app may have others."""

    def __init__(self, predictor: Predictor) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory and processor time, on Linux
        info = Info("edgedistill_artifact", "What is served.", registry=self.registry)
        info.info(
            {
                "bundle": predictor.manifest.name,
                "artifact": predictor.artifact.name,
                "backend": predictor.artifact.backend,
                "precision": predictor.artifact.precision,
            }
        )
        self.requests = Counter(
            "edgedistill_requests", "Images that were answered, by HTTP status.", ("code",), registry=self.registry
        )
        self.pending = Gauge("edgedistill_pending_images", "Images under way.", registry=self.registry)
        self.request_seconds = self._histogram("request", "From an image's first byte to its labels.", _SECONDS)
        self.decode_seconds = self._histogram("decode", "Decoding and resizing of an image.", _SECONDS)
        self.inference_seconds = self._histogram("inference", "Of a batch.", _SECONDS)
        self.batch_images = Histogram(
            "edgedistill_batch_images", "Images of an inference.", buckets=_IMAGES, registry=self.registry
        )

    def inferred(self, images: int, seconds: float) -> None:
        """A batch is done."""
        self.batch_images.observe(images)
        self.inference_seconds.observe(seconds)

    def page(self) -> bytes:
        """The whole in Prometheus' text format."""
        return generate_latest(self.registry)

    def _histogram(self, what: str, says: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"edgedistill_{what}_seconds", says, buckets=buckets, registry=self.registry)
