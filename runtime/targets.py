"""Deploy configs: one YAML per target says how an artifact is built, run, gated and benchmarked."""

import difflib
import math
import re
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from .config import Config, decode, read_yaml
from .errors import ConfigError
from .record import Record
from .tensors import BatchRange

BenchPreset = Literal["demo", "smoke", "quick", "full"]

GENERIC = "generic"
MOST_THREADS = 1024
_NOT_IN_NAMES = ': * ? " < > |'  # Windows refuses them in a file's name
_PORTABLE_NAME = re.compile(r'[^/\\:*?"<>|\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+')
_COMPUTE_CAPABILITY = re.compile(r"[0-9]{1,3}\.[0-9]{1,2}")


class Gates(Config):
    """Limits that `verify` and `bench` hold an artifact to; a missing limit is not judged.

    Attributes:
        max_map_drop: mAP points (0-100) that may be lost against the reference: the whole confidence interval of the
            drop must stay within it.
        confidence: level of that interval.
        max_p90_ms: 90th percentile of the single-image latency in milliseconds, the headline of `bench`.
        max_p95_ms: its 95th percentile.
        max_rss: largest resident memory of a process that runs the artifact, in bytes.
        max_bytes: size of the artifact's files.
    """

    max_map_drop: float | None = None
    confidence: float = 0.95
    max_p90_ms: float | None = None
    max_p95_ms: float | None = None
    max_rss: int | None = None
    max_bytes: int | None = None


class Target(Record):
    """One deploy config as it travels in a manifest: open, so that a newer version's words do not break an older one.

    Attributes:
        name: the file's name without .yaml; also the artifact's name in the bundle.
        backend: the library that runs the artifact.
        precision: what the arithmetic is done in.
        format: of the file, where the backend reads several, e.g. "ort"; empty for its usual one.
        hardware: what people call the thing that it is for, e.g. "Raspberry Pi 5"; decides nothing.
        device: the backend's own device or provider word, e.g. "cpu", "gpu", "cuda:0".
        threads: intra-op threads; None leaves the choice to the backend.
        batch: batch sizes that the artifact accepts.
        gates: limits by name, see `Gates`; a name that this version does not know is not judged, and said so.
        bench: the preset that `bench` takes by default.
        compute_capabilities: SM versions a TensorRT-RTX engine is built for ahead of time, e.g. ["8.9"]; empty
            means portable.
        weight_bits: of int8 weights: 8, or 7 for x86 CPUs that do not multiply bytes exactly (those without VNNI).
    """

    name: str
    backend: str
    precision: str
    format: str = ""
    description: str = ""
    hardware: str = GENERIC
    device: str = "cpu"
    threads: int | None = None
    batch: BatchRange = BatchRange()
    gates: dict[str, Any] = {}
    bench: str = "quick"
    compute_capabilities: list[str] = []
    weight_bits: int = 8

    @property
    def limits(self) -> Gates:
        """The gates that this version knows, typed."""
        known = {key: value for key, value in self.gates.items() if key in Gates.__struct_fields__}
        return msgspec.convert(known, Gates)

    def setting(self, threads: int | None, device: str | None) -> tuple[int | None, str]:
        """The threads and the device word where these are asked for; None leaves its own."""
        return threads or self.threads, device or self.device

    @property
    def unknown_gates(self) -> tuple[str, ...]:
        """Gates of a newer version that are set."""
        return tuple(k for k, value in self.gates.items() if k not in Gates.__struct_fields__ and value is not None)


class _BatchFile(BatchRange, forbid_unknown_fields=True):
    """`batch:` as people write it."""


class _TargetFile(Config):
    """A deploy config as people write it: an unknown key is an error.

    `host`, the device of this kind that can be reached by ssh, stays here: a bundle names nobody's machines.
    """

    name: str
    backend: str
    precision: str
    format: str = ""
    description: str = ""
    hardware: str = GENERIC
    device: str = "cpu"
    threads: int | None = None
    batch: _BatchFile = _BatchFile()
    gates: Gates = Gates()
    bench: BenchPreset = "quick"
    compute_capabilities: list[str] = []
    weight_bits: Literal[7, 8] = 8
    host: str = ""


def target_problem(target: Target) -> str:
    """What is impossible about a deploy config, in words that name the key; empty when nothing is."""
    if target.batch.problem:
        return target.batch.problem
    if problem := _threads_problem(target.threads):
        return problem
    try:
        limits = target.limits
    except msgspec.ValidationError as error:
        return f"gates: {error}"
    if not 0 < limits.confidence < 1:
        return f"gates.confidence {limits.confidence:g}: needs more than 0 and less than 1, e.g. 0.95"
    for name in ("max_map_drop", "max_p90_ms", "max_p95_ms", "max_rss", "max_bytes"):
        limit = getattr(limits, name)
        if limit is not None and not (math.isfinite(limit) and limit > 0):
            return f"gates.{name} {limit:g}: needs more than 0"
    return ""


def check_threads(threads: object) -> None:
    """Raises ConfigError unless `threads` is None or a number of threads that a process can have."""
    if problem := _threads_problem(threads):
        raise ConfigError(f"{problem}; leave it out for the default.")


def _threads_problem(threads: object) -> str:
    if threads is None:
        return ""
    if not isinstance(threads, int) or isinstance(threads, bool):
        return f"threads: needs a whole number, 1 to {MOST_THREADS}, not a {type(threads).__name__}"
    return "" if 1 <= threads <= MOST_THREADS else f"threads {threads}: needs 1 to {MOST_THREADS}"


def written_problem(target: Target) -> str:
    """What is wrong with a deploy config that is about to be built, beyond `target_problem`; empty when nothing is.

    Not for manifests: those of newer versions may have device words that this one does not know.
    """
    from .backends.base import BACKENDS, Backend

    if not _PORTABLE_NAME.fullmatch(target.name) or target.name.strip(" .") != target.name:
        return (
            f"name {target.name or '(empty)'}: needs a portable file name, without slashes and any of {_NOT_IN_NAMES}"
        )
    backend = BACKENDS.get(target.backend)
    listed = any("devices" in vars(kind) for kind in backend.__mro__ if kind is not Backend)
    word = re.split("[:.]", target.device, maxsplit=1)[0]
    if target.backend == "openvino":  # its words are the same in any case
        word = word.lower()
    if listed and word not in backend.devices:
        return f"device {target.device}: {target.backend} has {', '.join(backend.devices)}"
    if target.compute_capabilities and target.backend != "tensorrt":
        return f"compute_capabilities: only for tensorrt, not {target.backend}: remove the key"
    for version in target.compute_capabilities:
        if not _COMPUTE_CAPABILITY.fullmatch(version):
            return f'compute_capabilities {version}: give SM versions such as "8.9"'
    return _weight_bits_problem(target)


def _weight_bits_problem(target: Target) -> str:
    if target.weight_bits not in (7, 8):
        return f"weight_bits {target.weight_bits}: needs 7 or 8"
    if target.weight_bits == 7 and target.precision != "int8":
        return f"weight_bits: only for int8, not {target.precision}: remove the key"
    return ""


def packaged_targets() -> list[str]:
    """Names of the deploy configs that come with edgedistill."""
    folder = resources.files("edgedistill.deploy_configs")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def is_config_file(name_or_path: str | Path) -> bool:
    """Whether it is the path of a deploy config, not the name of a packaged one."""
    return Path(name_or_path).suffix in (".yaml", ".yml")


def load_target(name_or_path: str | Path) -> Target:
    """Read a packaged deploy config by name, or one of the user's by path.

    Raises:
        ConfigError: names the file, the key and what is allowed.
    """
    return _load(name_or_path)[0]


def load_host(name_or_path: str | Path) -> tuple[Target, str]:
    """A deploy config and the device that it names: what ssh takes, e.g. "user@pi".

    Raises:
        ConfigError: as `load_target`, or it names none.
    """
    target, host = _load(name_or_path)
    if not host:
        raise ConfigError(f"{name_or_path}: names no `host`: add what ssh takes, e.g. host: user@pi.")
    return target, host


def host_of(name_or_path: str | Path) -> str:
    """The device that a deploy config names; empty where it names none. Raises as `load_target`."""
    return _load(name_or_path)[1]


def _load(name_or_path: str | Path) -> tuple[Target, str]:
    from .backends.base import BACKENDS
    from .precisions import PRECISIONS, why_none

    path = Path(name_or_path)
    if not is_config_file(path):
        known = packaged_targets()
        if str(name_or_path) not in known:
            near = difflib.get_close_matches(str(name_or_path), known, n=1)
            hint = f"did you mean {near[0]!r}? Give" if near else "give"
            raise ConfigError(
                f"unknown target {str(name_or_path)!r}: {hint} a .yaml path or one of: {', '.join(known)}."
            )
        path = Path(str(resources.files("edgedistill.deploy_configs").joinpath(f"{name_or_path}.yaml")))
    written = decode({"name": path.stem, **read_yaml(path)}, _TargetFile, where=str(path))
    for key, allowed in (("backend", BACKENDS.names()), ("precision", list(PRECISIONS))):
        if getattr(written, key) not in allowed:
            raise ConfigError(
                f"{path}: `{key}`: unknown {key} {getattr(written, key)!r}. Allowed: {', '.join(allowed)}."
                f"{why_none(written.precision) if key == 'precision' else ''}"
            )
    gates = {key: value for key, value in msgspec.structs.asdict(written.gates).items() if value is not None}
    fields = msgspec.structs.asdict(written)
    host = fields.pop("host")
    fields |= {"gates": gates, "batch": BatchRange(**msgspec.structs.asdict(written.batch))}
    target = Target(**fields)
    problem = target_problem(target) or written_problem(target)
    if problem:
        raise ConfigError(f"{path}: {problem}.")
    return target, host
