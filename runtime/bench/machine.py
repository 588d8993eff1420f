"""The system's counters of who used the cores, read before and after a turn; None where a system has none."""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..device import usable_cores

_PROC = Path("/proc")
_LEAST_SECONDS = 0.02  # /proc/stat counts in steps of 10 ms


class CpuTime(NamedTuple):
    """Seconds that were counted so far, on the cores that this process may use.

    Attributes:
        at: the clock.
        busy: any process computed, added up over the cores.
        stolen: a core was wanted and the hypervisor gave it to another machine, added up likewise.
        own: this process and the ones it asked about computed.
    """

    at: float
    busy: float
    stolen: float
    own: float


class Shares(NamedTuple):
    """What happened between two readings of CpuTime.

    Attributes:
        steal: of the time that was wanted, the fraction that the hypervisor gave to other machines.
        others: fraction of the usable cores' time that other processes computed.
    """

    steal: float
    others: float


def read_cpu_time(children: Iterable[int]) -> CpuTime | None:
    """Read the counters; `children` are the processes that count as our own. None where /proc/stat is not Linux's."""
    try:
        stat = (_PROC / "stat").read_text(encoding="ascii")
        own = time.process_time() + sum(_process_seconds(pid) for pid in children)
        busy, stolen = _parse_stat(stat, os.sched_getaffinity(0))
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return CpuTime(time.perf_counter(), busy, stolen, own)


def shares(before: CpuTime | None, after: CpuTime | None) -> Shares | None:
    """What others took between two readings; None where the counters are missing or stand still (gVisor's are zero)."""
    if before is None or after is None:
        return None
    elapsed, busy, stolen, own = (end - start for start, end in zip(before, after, strict=True))
    if elapsed < _LEAST_SECONDS or busy < 0.5 * own - _LEAST_SECONDS:
        return None
    return Shares(
        steal=_beyond_a_step(stolen) / max(busy + stolen, _LEAST_SECONDS),
        others=_beyond_a_step(busy - own) / (elapsed * usable_cores()),
    )


class Interference(NamedTuple):
    """What this process suffered so far, all its threads together.

    Attributes:
        switches: involuntary context switches.
        waited: seconds for which each living thread, by its number, was ready and waited for a core.
    """

    switches: int | None
    waited: dict[str, float] | None

    def since(self, before: "Interference") -> tuple[int | None, float | None]:
        """Switches and seconds waited since an earlier reading; a thread that ended in between is left out."""
        switches = None
        if self.switches is not None and before.switches is not None:
            switches = self.switches - before.switches
        if self.waited is None or before.waited is None:
            return switches, None
        return switches, sum(seconds - before.waited.get(thread, 0.0) for thread, seconds in self.waited.items())


def read_interference() -> Interference:
    """Read this process's counters."""
    return Interference(_involuntary_switches(), _seconds_waited())


def _parse_stat(stat: str, cores: Sequence[int] | set[int]) -> tuple[float, float]:
    """Busy and stolen seconds of the cores in the text of /proc/stat; guests' time is part of `user`."""
    tick = os.sysconf("SC_CLK_TCK")
    wanted = {f"cpu{core}" for core in cores}
    lines = [line.split() for line in stat.splitlines()]
    counted = [[int(value) for value in fields[1:]] for fields in lines if fields and fields[0] in wanted]
    if not counted:
        raise ValueError("no line of a core that may be used")
    busy = sum(user + nice + system + irq + softirq for user, nice, system, _, _, irq, softirq, *_ in counted)
    return busy / tick, sum(fields[7] for fields in counted if len(fields) > 7) / tick


def _process_seconds(pid: int) -> float:
    """Processor time of a process; a name may hold spaces and brackets, so that fields are counted from its end."""
    fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _beyond_a_step(seconds: float) -> float:
    """Nothing where the counters' step alone may explain it."""
    return seconds if seconds > _LEAST_SECONDS else 0.0


def _involuntary_switches() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _seconds_waited() -> dict[str, float] | None:
    waited = {}
    try:
        for task in (_PROC / "self" / "task").iterdir():
            waited[task.name] = int((task / "schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
    return waited
