"""The part of arm64.py that is one of qemu's Arm processors: Debian's Python on it, as a command."""

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from arm64_userland import Userland, appearing

from edgedistill.runtime.device import usable_cores
from edgedistill.runtime.errors import EdgedistillError

# What a runtime chooses its int8 kernels by: dot products of four 8-bit pairs, and products of 8-bit matrices.
INT8 = {"asimddp": "dot products", "i8mm": "matrix products"}
LONGEST_S = 900
# Linux' names of the bits of AT_HWCAP and AT_HWCAP2 on arm64 (arch/arm64/include/uapi/asm/hwcap.h), from bit 0 on.
_HWCAP = """
    fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 sm4
    asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg
""".split()  # noqa: SIM905
_HWCAP2 = """
    dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm svef32mm svef64mm svebf16 i8mm bf16 dgh
    rng bti mte ecv afp rpres mte3 sme smei16i64 smef64f64 smei8i32 smef16f32 smeb16f32 smef32f32 smefa64
""".split()  # noqa: SIM905
# Of MIDR_EL1: Arm's own, by qemu's names. Runtimes tune by them.
_PARTS = {"cortex-a53": 0xD03, "cortex-a57": 0xD07, "cortex-a72": 0xD08, "cortex-a76": 0xD0B, "neoverse-n1": 0xD0C}
_ASK = "import ctypes; get = ctypes.CDLL(None).getauxval; get.restype = ctypes.c_ulong; print(get(16), get(26))"


@dataclass(frozen=True)
class Processor:
    """One, ready to run.

    Attributes:
        name: what `qemu -cpu` takes, such as "cortex-a76" or "max,sve=off".
        features: as its /proc/cpuinfo lists them.
        python: a file that is executed as its Python interpreter.
        path: folders of packages.
    """

    name: str
    features: tuple[str, ...]
    python: Path
    path: tuple[Path, ...] = ()

    def with_packages(self, path: Sequence[Path]) -> "Processor":
        return replace(self, path=tuple(path))

    def run(self, arguments: Sequence[str], *, timeout: float = LONGEST_S) -> subprocess.CompletedProcess[str]:
        """Its Python with these arguments; a process that takes too long ends with status 124."""
        command = [str(self.python), *arguments]
        environment = _environment(self.path)
        try:
            return subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=timeout, env=environment,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"not ready after {timeout:.0f} s")


def processor(made: Userland, name: str) -> Processor:
    """Make it, or find the one that was made.

    A program on Linux learns from /proc/cpuinfo what its processor can do. qemu shows it that of this machine, unless
    the folder in which it looks files up first has one: each processor gets a folder of its own, of links to Debian
    and its own /proc/cpuinfo.

    Raises:
        EdgedistillError: qemu does not know the processor, or Debian's Python does not run on it.
    """
    folder = made.folder / "processors" / re.sub(r"[^a-z0-9]+", "-", name.lower())
    python = folder / "python"
    if not python.exists():
        capabilities = _capabilities(made, name)
        with appearing(folder) as work:
            for entry in sorted(made.debian.iterdir()):
                (work / entry.name).symlink_to(entry)
            (work / "proc").mkdir()
            text = cpuinfo(features(*capabilities), _PARTS.get(name.partition(",")[0]), usable_cores())
            (work / "proc" / "cpuinfo").write_text(text, encoding="ascii")
            (work / "python").write_text(_WRAPPER.format(**_words(made, name, folder)), encoding="utf-8")
            (work / "python").chmod(0o755)
    listed = re.search(r"^Features\s*:(.*)$", (folder / "proc" / "cpuinfo").read_text(encoding="ascii"), re.MULTILINE)
    return Processor(name, tuple(listed[1].split()) if listed else (), python)


def features(hwcap: int, hwcap2: int) -> tuple[str, ...]:
    """The names of a Linux kernel's two words of arm64 capabilities; bits without a name here are left out."""
    both = ((hwcap, _HWCAP), (hwcap2, _HWCAP2))
    return tuple(name for word, names in both for bit, name in enumerate(names) if word >> bit & 1)


def cpuinfo(named: Sequence[str], part: int | None, cores: int) -> str:
    """/proc/cpuinfo as an arm64 kernel writes it.

    Args:
        named: features.
        part: Arm's number of the design; None for none of Arm's.
        cores: how many.
    """
    lines = {
        "BogoMIPS\t": "100.00",
        "Features\t": " ".join(named),
        "CPU implementer\t": "0x41" if part is not None else "0x00",
        "CPU architecture": "8",
        "CPU variant\t": "0x0",
        "CPU part\t": f"0x{part or 0:03x}",
        "CPU revision\t": "0",
    }
    core = "".join(f"{key}: {value}\n" for key, value in lines.items())
    return "".join(f"processor\t: {number}\n{core}\n" for number in range(cores))


# Started under its own name, so that a Python which starts another (sys.executable) starts the emulated one.
_WRAPPER = """#!/bin/sh
PYTHONHOME={home} exec {qemu} -cpu {cpu} -L {folder} -0 "$0" {python} "$@"
"""


def _words(made: Userland, name: str, folder: Path) -> dict[str, str]:
    words = {
        "home": made.debian / "usr", "qemu": made.qemu, "cpu": name, "folder": folder, "python": made.python,
    }  # fmt: skip
    return {key: shlex.quote(str(word)) for key, word in words.items()}


def _capabilities(made: Userland, name: str) -> tuple[int, int]:
    command = [str(made.qemu), "-cpu", name, "-L", str(made.debian), str(made.python), "-c", _ASK]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=_environment(()) | {"PYTHONHOME": f"{made.debian}/usr"},
    )
    if done.returncode:
        known = ", ".join(sorted(_PARTS))
        said = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise EdgedistillError(
            f"--cpu {name}: does not run here ({said}). qemu knows {known}, max and more: {made.qemu} -cpu help."
        )
    first, second = done.stdout.split()
    return int(first), int(second)


def _environment(path: Sequence[Path]) -> dict[str, str]:
    """Nothing of this machine's Python or locale."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {
        "LANG": "C.UTF-8", "PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
    }  # fmt: skip
