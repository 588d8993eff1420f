"""What a measurement ran on, without the machine's name: nothing here identifies a person or a host."""

import contextlib
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from .record import Record

_OWN_DISTRIBUTIONS = ("edgedistill", "numpy", "Pillow", "msgspec")


class Device(Record):
    """A machine and its state.

    Attributes:
        cpu: the model's name.
        arch: e.g. "x86_64", "aarch64".
        cores: logical cores that this process may use (its affinity).
        cores_total: logical cores of the machine.
        memory_bytes: physical memory; None where the system does not tell.
        os: system and release.
        python: version.
        governor: CPU frequency governor of core 0, where readable.
        temperature_c: the hottest readable thermal zone in degrees Celsius.
        load_average: over 1, 5 and 15 minutes; empty on systems without it.
        gpus: name, memory and driver of each NVIDIA GPU, as nvidia-smi prints them.
        versions: installed distributions among numpy, Pillow, msgspec and the backends.
    """

    cpu: str
    arch: str
    cores: int
    cores_total: int
    memory_bytes: int | None
    os: str
    python: str
    governor: str | None
    temperature_c: float | None
    load_average: tuple[float, ...]
    gpus: tuple[str, ...]
    versions: dict[str, str]


def describe_device() -> Device:
    """Describe this machine as it is now; imports no backend."""
    return Device(
        cpu=_cpu_model(),
        arch=platform.machine(),
        cores=usable_cores(),
        cores_total=os.cpu_count() or 1,
        memory_bytes=memory_bytes(),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        temperature_c=temperature(),
        load_average=load_average(),
        gpus=_gpus(),
        versions=_versions(),
    )


def device_slug() -> str:
    """A short name of the hardware that is safe in a file name: the GPU's model where there is one, else the CPU's."""
    gpus = _gpus()
    model = gpus[0].partition(",")[0] if gpus else _cpu_model()
    model = re.sub(r"\((r|tm|c)\)|\bcpu\b|\bprocessor\b|@.*", " ", model.lower())
    words = re.sub(r"[^a-z0-9]+", "-", model).strip("-") or "unknown"
    arch = re.sub(r"[^a-z0-9_]+", "-", platform.machine().lower())
    return f"{words[:48].strip('-')}-{arch}"


def usable_cores() -> int:
    """Logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def overflows_bytes() -> bool:
    """Whether this CPU adds products of bytes in 16 bits, which are too few: x86 without VNNI, where Linux tells it."""
    flags = [line for line in (_read("/proc/cpuinfo") or "").splitlines() if line.startswith("flags")]
    return bool(flags) and "vnni" not in flags[0]


def load_average() -> tuple[float, ...]:
    """Runnable processes averaged over 1, 5 and 15 minutes; empty where the system has no such number."""
    try:
        return tuple(round(value, 2) for value in os.getloadavg())
    except (AttributeError, OSError):
        return ()


def temperature() -> float | None:
    """The hottest thermal zone in degrees Celsius; None where none is readable."""
    found = []
    for zone in Path("/sys/class/thermal").glob("thermal_zone*/temp"):
        text = _read(zone)
        if text and text.lstrip("-").isdigit():
            found.append(int(text) / 1000)
    return max(found, default=None)


def _read(path: str | Path) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _cpu_model() -> str:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in ("model name", "model", "hardware") and not value.strip().isdigit():
            return value.strip()
    # Arm boards name the board there instead.
    board = _read("/proc/device-tree/model")
    return board or _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine() or "unknown"


def memory_bytes() -> int | None:
    """Physical memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _sysctl(name: str) -> str:
    return _output(["sysctl", "-n", name]) if platform.system() == "Darwin" else ""


def _gpus() -> tuple[str, ...]:
    if shutil.which("nvidia-smi") is None:
        return ()
    lines = _output(["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"])
    return tuple(line.strip() for line in lines.splitlines() if line.strip())


def _output(command: list[str]) -> str:
    """A query's standard output; empty when it fails, since a description must not stop a measurement."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    from importlib import metadata

    from .backends.base import recorded_distributions

    versions = {}
    for name in (*_OWN_DISTRIBUTIONS, *recorded_distributions()):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
