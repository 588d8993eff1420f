"""The part of arm64.py that makes a Debian for arm64 and qemu's user emulation, in the cache folder, without root.

apt knows the packages and what they need; with lists and a status file of its own it downloads them for any
architecture, and no system file is touched. Their files are unpacked, none of their scripts runs.
"""

import contextlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedistill.runtime.cache_folder import cache_folder
from edgedistill.runtime.errors import EdgedistillError, MissingDependencyError

PACKAGES = ("python3", "libstdc++6", "libgomp1")
QEMU = ("qemu-aarch64-static", "qemu-aarch64")
PREPARE = "python benchmarks/arm64.py --prepare"
_TOOLS = ("apt-get", "dpkg", "dpkg-deb", "tar")


@dataclass(frozen=True)
class Userland:
    """Where it is, or will be.

    Attributes:
        folder: below the cache folder; removing it frees everything.
    """

    folder: Path

    @property
    def debian(self) -> Path:
        """The root of the arm64 system."""
        return self.folder / "debian"

    @property
    def qemu(self) -> Path | None:
        """The system's own qemu, else the one that was downloaded; None where there is neither."""
        found = [path for name in QEMU if (path := shutil.which(name))]
        downloaded = self.folder / "qemu" / "usr" / "bin" / QEMU[0]
        return Path(found[0]) if found else downloaded if downloaded.is_file() else None

    @property
    def python(self) -> Path:
        """Debian's interpreter, by its own name: a link's would be looked up on this machine."""
        return (self.debian / "usr" / "bin" / "python3").resolve()

    def lacking(self) -> str:
        """Why nothing can be emulated here yet, with the way out; empty where it can."""
        if self.qemu is None:
            return f"qemu's user emulation of arm64 is not here: {PREPARE}, or install qemu-user-static"
        if not self.python.is_file():
            return f"there is no Debian for arm64 in {self.folder}: {PREPARE}"
        return ""

    def prepare(self) -> None:
        """Download and unpack what is missing: 80 MB to download, 90 MB to keep.

        Raises:
            MissingDependencyError: this machine has no apt, or is an Arm machine itself.
            EdgedistillError: the packages cannot be had.
        """
        if not self.lacking():
            return
        refuse_unfit()
        apt = _Apt(self.folder / "apt")
        apt.update()
        if not self.python.is_file():
            print(f"downloading {', '.join(PACKAGES)} for arm64, and what they need", flush=True)
            packages = apt.with_dependencies(PACKAGES)
            with appearing(self.debian) as folder:
                for package in packages:
                    _run(["dpkg-deb", "-x", str(package), str(folder)])
        if self.qemu is None:
            print("downloading qemu-user-static", flush=True)
            with appearing(self.folder / "qemu") as folder:
                apt.one_file("qemu-user-static", f"./usr/bin/{QEMU[0]}", folder)
        shutil.rmtree(apt.folder)


def userland() -> Userland:
    """That of this user."""
    return Userland(cache_folder() / "arm64")


def refuse_unfit(machine: str = platform.machine(), tools: Sequence[str] = _TOOLS) -> None:
    """Raise MissingDependencyError where an arm64 system cannot be made, or need not be."""
    if machine.lower() in ("aarch64", "arm64"):
        raise MissingDependencyError(
            "this machine is an Arm machine: nothing needs to be emulated. `edgedistill verify BUNDLE --data LABELS` "
            "tells what it answers."
        )
    lacking = [name for name in tools if shutil.which(name) is None]
    if lacking:
        raise MissingDependencyError(
            f"{lacking[0]} is not here: the arm64 system is made of Debian's packages, on Debian or Ubuntu. Elsewhere "
            "run this in a container of Debian."
        )


@contextlib.contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `folder` when the block ends, and is removed when it fails.

    Where another process was faster, its folder stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        yield work
        work.chmod(0o755)
        try:
            work.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _Apt:
    """apt-get with lists and packages of its own, for arm64 and this machine, from the sources that it is set to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.here = _run(["dpkg", "--print-architecture"]).strip()
        for name in ("lists/partial", "archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        status = folder / "status"
        status.touch()
        settings = {
            "Dir::State::Lists": folder / "lists",
            "Dir::State::status": status,
            "Dir::Cache::Archives": folder / "archives",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "APT::Architecture": "arm64",
            "APT::Architectures::": "arm64",
            "APT::Architectures:: ": self.here,
            "Acquire::Languages": "none",
            "Debug::NoLocking": "1",  # the folder is ours
        }
        # apt would download as a user who may not write here; only an administrator can be anybody else.
        settings["APT::Sandbox::User"] = "root"
        self._options = [word for key, value in settings.items() for word in ("-o", f"{key.strip()}={value}")]

    def update(self) -> None:
        """Whatever source has no arm64, or does not answer, is passed over: what is missing is told by its package."""
        subprocess.run(["apt-get", *self._options, "-qq", "update"], check=False, capture_output=True)

    def with_dependencies(self, names: Sequence[str]) -> list[Path]:
        """Download packages for arm64 and all that they depend on."""
        self._get("-y", "--download-only", "--no-install-recommends", "install", *names)
        return sorted((self.folder / "archives").glob("*.deb"))

    def one_file(self, name: str, inside: str, folder: Path) -> None:
        """One file of a package for this machine, unpacked into a folder with its path."""
        self._get("download", f"{name}:{self.here}", cwd=folder)
        [package] = folder.glob("*.deb")
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacked:
            _run(["tar", "-x", "-C", str(folder), inside], stdin=unpacked.stdout)
            unpacked.communicate()
        package.unlink()

    def _get(self, *words: str, cwd: Path | None = None) -> None:
        try:
            _run(["apt-get", *self._options, "-qq", *words], cwd=cwd)
        except EdgedistillError as error:
            raise EdgedistillError(
                f"{error} Have apt's sources packages for arm64, and are they reached? Debian's have; Ubuntu keeps "
                "arm64 in other places, which want a file in /etc/apt/sources.list.d."
            ) from None


def _run(command: list[str], **options: object) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise EdgedistillError(f"{command[0]} {command[-1]}: failed ({last}).")
    return str(done.stdout)
