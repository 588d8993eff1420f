"""Deploy configs: one YAML per target says how an artifact is built, run, gated and benchmarked."""

from importlib import resources
from pathlib import Path
from typing import Literal

from .config import Config, decode, read_yaml
from .errors import ConfigError

BackendName = Literal["onnxruntime", "openvino", "tensorrt"]
Precision = Literal["fp32", "fp16", "bf16"]
BenchPreset = Literal["demo", "smoke", "quick", "full"]


class BatchRange(Config):
    """Batch sizes that the artifact accepts; `typical` is what TensorRT optimises for."""

    min: int = 1
    typical: int = 1
    max: int = 32


class Gates(Config):
    """Limits that `verify` and `bench` hold an artifact to; a missing limit is not checked.

    Attributes:
        max_map_drop: mAP points (0-100) that may be lost against the reference: the upper end of the drop's
            confidence interval must stay below it.
        confidence: level of that interval.
        max_p95_ms: 95th percentile of the single-image latency in milliseconds.
        max_bytes: size of the artifact's files.
    """

    max_map_drop: float | None = None
    confidence: float = 0.95
    max_p95_ms: float | None = None
    max_bytes: int | None = None


class Target(Config):
    """One deploy config.

    Attributes:
        name: the file's name without .yaml; also the artifact's name in the bundle.
        backend: the library that runs the artifact.
        precision: what the arithmetic is done in.
        device: the backend's own device or provider word, e.g. "cpu", "gpu", "cuda:0".
        threads: intra-op threads; None leaves the choice to the backend.
        compute_capabilities: SM versions a TensorRT-RTX engine is built for ahead of time, e.g. ["8.9"]; empty
            means portable.
    """

    name: str
    backend: BackendName
    precision: Precision
    description: str = ""
    device: str = "cpu"
    threads: int | None = None
    batch: BatchRange = BatchRange()
    gates: Gates = Gates()
    bench: BenchPreset = "quick"
    compute_capabilities: list[str] = []


def packaged_targets() -> list[str]:
    """Names of the deploy configs that come with edgedistill."""
    folder = resources.files("edgedistill.deploy_configs")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_target(name_or_path: str | Path) -> Target:
    """Read a packaged deploy config by name, or one of the user's by path.

    Raises:
        ConfigError: names the file, the key and what is allowed.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if str(name_or_path) not in packaged_targets():
            raise ConfigError(
                f"unknown target {str(name_or_path)!r}: give a .yaml path or one of: {', '.join(packaged_targets())}."
            )
        path = Path(str(resources.files("edgedistill.deploy_configs").joinpath(f"{name_or_path}.yaml")))
    content = {"name": path.stem, **read_yaml(path)}
    return decode(content, Target, where=str(path))
