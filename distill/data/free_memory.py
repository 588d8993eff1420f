"""How much memory and disk a process may still take."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

JOBS = "EDGEDISTILL_JOBS"  # set by a queue that runs so many processes on this machine at once

_CGROUPS = Path("sys/fs/cgroup")
# Version 2, and version 1 below its `memory` folder; "inactive_file" is page cache that the kernel gives up at once.
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that are free in RAM, within the container's or job's limit, and in the shared-memory file system.

    0 where the system does not tell (only Linux does).

    Args:
        root: where the system's /proc, /sys and /dev are found.
    """
    found = [*_available(root), *_within_cgroups(root), *free_shared_memory(root)]
    return max(0, min(found)) if found else 0


def free_shared_memory(root: Path = Path("/")) -> tuple[int, ...]:
    """Bytes free in the file system that Linux keeps shared memory in (Docker: 64 MB by default); empty elsewhere."""
    shared = root / "dev" / "shm"
    return (shutil.disk_usage(shared).free,) if shared.is_dir() else ()


def free_disk(folder: Path) -> int:
    """Bytes free on the disk that `folder` is on, or would be."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def processes_here() -> int:
    """How many processes share this machine: those of a distributed training (torchrun tells) or of a queue."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) * int(os.environ.get(JOBS, "1"))


def _available(root: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for line in (root / "proc" / "meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024


def _within_cgroups(root: Path) -> Iterator[int]:
    """What each memory limit that this process is under leaves; none where there is no limit."""
    try:
        lines = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root / _CGROUPS, _V2
        elif "memory" in controllers.split(","):
            base, names = root / _CGROUPS / "memory", _V1
        else:
            continue
        group = base / path.lstrip("/")
        while True:  # a container sees its own group as the root, whatever path it is told
            yield from _left(group, *names)
            if group == base or base not in group.parents:
                break
            group = group.parent


def _left(group: Path, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    try:
        most, used = ((group / name).read_text(encoding="ascii").strip() for name in (limit, usage))
        statistics = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except OSError:
        return
    if most.isdigit():  # else "max"
        yield int(most) - int(used) + int(statistics.get(reclaimable, 0))
