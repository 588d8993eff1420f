"""Power while something runs, from a counter that the machine has: RAPL of PCs and servers, the INA3221 of Jetsons.

Where none can be read there is no number: nothing is estimated. A counter holds what the whole package or module
takes, idle power and other processes included.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

SYS = Path("/sys")
_INA_SECONDS = 0.05  # between two readings; the chip itself averages over some milliseconds
# The rail before all others where a module has one; else those that NVIDIA adds up to the module (Jetson AGX Orin).
_WHOLE = ("VDD_IN", "POM_5V_IN")
_PARTS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


class Meter(Protocol):
    """A counter.

    Attributes:
        source: what it holds, in words.
    """

    source: str

    def measuring(self) -> contextlib.AbstractContextManager["Power"]:
        """Within the `with` block it counts; after it the power is there."""
        ...


@dataclass
class Power:
    """Mean power in watts; None where a reading failed meanwhile."""

    watts: float | None = None


def find_meter(root: Path = SYS) -> Meter | None:
    """The first counter that this process may read below `root`; None without one.

    RAPL's is readable for root alone on most systems: `chmod a+r .../intel-rapl:0/energy_uj` opens it.
    """
    return _find_rapl(root) or _find_ina3221(root)


@dataclass
class Rapl:
    """The energy counters of all processor packages, in microjoules; each begins anew at its range."""

    zones: tuple[Path, ...]
    source: str = field(init=False)

    def __post_init__(self) -> None:
        self.source = f"RAPL ({', '.join(_text(zone / 'name') for zone in self.zones)})"

    @contextlib.contextmanager
    def measuring(self) -> Iterator[Power]:
        power = Power()
        before, begun = self._joules(), time.perf_counter()
        yield power
        after, seconds = self._joules(), time.perf_counter() - begun
        if before is not None and after is not None and seconds > 0:
            power.watts = self.spent(before, after) / seconds

    def spent(self, before: list[int], after: list[int]) -> float:
        """Joules between two readings of the zones, of which one round of each counter is made up for."""
        ranges = [_number(zone / "max_energy_range_uj") or 0 for zone in self.zones]
        pairs = zip(before, after, ranges, strict=True)
        return sum(end - start + (most if end < start else 0) for start, end, most in pairs) / 1e6

    def _joules(self) -> list[int] | None:
        found = [_number(zone / "energy_uj") for zone in self.zones]
        values = [value for value in found if value is not None]
        return values if len(values) == len(found) else None


@dataclass
class Ina3221:
    """Voltage and current of the module's rails, in millivolts and milliamperes, read again and again."""

    rails: tuple[tuple[Path, Path], ...]
    source: str

    @contextlib.contextmanager
    def measuring(self) -> Iterator[Power]:
        power, stop = Power(), threading.Event()
        readings = [self.watts()]

        def read() -> None:
            while not stop.wait(_INA_SECONDS):
                readings.append(self.watts())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield power
        finally:
            stop.set()
            reader.join()
            readings.append(self.watts())  # a turn may be shorter than the time between two
        values = [value for value in readings if value is not None]
        if len(values) == len(readings):
            power.watts = sum(values) / len(values)

    def watts(self) -> float | None:
        """At this moment, of all rails together."""
        total = 0.0
        for volts, amperes in self.rails:
            pair = _number(volts), _number(amperes)
            if pair[0] is None or pair[1] is None:
                return None
            total += pair[0] * pair[1] / 1e6
        return total


def _find_rapl(root: Path) -> Rapl | None:
    # `intel-rapl-mmio:0` is the same package again, `intel-rapl:0:0` a part of it.
    zones = sorted((root / "class" / "powercap").glob("intel-rapl:*"))
    packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
    readable = packages and all(_number(zone / "energy_uj") is not None for zone in packages)
    return Rapl(tuple(packages)) if readable else None


def _find_ina3221(root: Path) -> Ina3221 | None:
    rails: dict[str, tuple[Path, Path]] = {}
    for label in sorted(root.glob("bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in*_label")):
        number = label.name.removeprefix("in").removesuffix("_label")
        pair = (label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input"))
        if all(_number(path) is not None for path in pair):
            rails[_text(label)] = pair
    for names in (*((name,) for name in _WHOLE), _PARTS):
        if all(name in rails for name in names):
            return Ina3221(tuple(rails[name] for name in names), f"INA3221 ({' + '.join(names)})")
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.lstrip("-").isdigit() else None
