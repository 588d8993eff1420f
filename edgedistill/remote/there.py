"""What the device's bare Python runs before there is an environment, imported from the wheel itself.

Only the standard library, and what of ours needs no more than that. One call is one command: a line of JSON comes in,
lines of JSON go out (`conversation`), the last of them with the result or the error.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path
from typing import Any

from ..runtime.errors import EdgedistillError
from .line_end import interrupt_at_line_end
from .pruning import prune

MARK = "edgedistill:"
RECORD = "environment.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
_FOUND, _UNFIT = 2, 3  # exit codes of the errors below

Answer = dict[str, Any]


class NotHereError(EdgedistillError):
    """This machine lacks something."""

    exit_code = _UNFIT


def say(kind: str, **fields: object) -> None:
    """One line for the other end."""
    sys.stdout.write(f"{MARK}{json.dumps({'type': kind, **fields})}\n")
    sys.stdout.flush()


def facts(cache: Path, request: Answer) -> Answer:
    """What this machine is, which backends its own Python has already, and the environment of that key if it stands."""
    prune(cache)
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "free": shutil.disk_usage(cache).free,
        "own": sorted(name for name, distributions in request["backends"].items() if any(map(_has, distributions))),
        "environment": _environment(cache / "environments" / request["key"]),
    }


def _environment(place: Path) -> Answer | None:
    try:
        found = json.loads((place / RECORD).read_text(encoding="utf-8"))
        os.utime(place)
    except (OSError, ValueError):
        return None
    return found if os.access(found["python"], os.X_OK) else None


def begin(cache: Path, request: Answer) -> None:
    """An empty environment that is still to be filled."""
    import venv

    work = Path(request["work"])
    work.parent.mkdir(exist_ok=True)
    work.mkdir(mode=0o700)
    # pip comes with us: what Linux distributions call python3 has no ensurepip.
    try:
        venv.create(work, system_site_packages=request["own"], with_pip=False, symlinks=os.name == "posix")
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def pip(cache: Path, request: Answer) -> Answer:
    """Run pip in the environment; what it says on the way is told."""
    work = Path(request["work"])

    def clean() -> None:
        shutil.rmtree(work, ignore_errors=True)

    finish = interrupt_at_line_end(clean)
    runs = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('pip', run_name='__main__')"
    command = [str(_python(work)), "-I", "-c", runs, request["pip"], *request["arguments"]]
    faults: list[str] = []
    running = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    try:
        for line in running.stdout or ():
            if line.startswith("ERROR"):
                faults.append(line.strip())
            elif line.startswith(("Collecting", "Downloading", "Processing", "Installing")):
                say("progress", text=" ".join(line.split()[:2]))
        returncode = running.wait()
        finish()
    except BaseException:
        running.kill()
        running.wait()
        clean()
        raise
    return {"returncode": returncode, "faults": faults[-3:]}


def seal(cache: Path, request: Answer) -> Answer:
    """Check that what was installed can be imported, and give the environment its name."""
    work, place = Path(request["work"]), cache / "environments" / request["key"]
    tried = subprocess.run(
        [str(_python(work)), "-I", "-c", "import numpy, PIL.Image, msgspec, yaml, edgedistill.remote.agent"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tried.returncode:
        shutil.rmtree(work, ignore_errors=True)
        last = (tried.stderr.strip().splitlines() or [f"its process ended with {tried.returncode}"])[-1]
        raise NotHereError(f"what was installed does not run there ({last})")
    found = {**request["record"], "python": str(place / _python(work).relative_to(work))}
    shutil.rmtree(work / "wheels", ignore_errors=True)
    (work / RECORD).write_text(json.dumps(found), encoding="utf-8")
    try:
        work.rename(place)
    except OSError:  # another command was faster
        shutil.rmtree(work, ignore_errors=True)
    return found


def lay_out(cache: Path, request: Answer) -> None:
    """Give stored files their names in a folder, each by a link to it or as a copy."""
    for name, path in request["files"].items():
        place_file(Path(path), Path(request["folder"], name))


def place_file(stored_at: Path, place: Path) -> None:
    """A link where the file system has them."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        os.link(stored_at, place)
    except OSError:
        shutil.copyfile(stored_at, place)


def discard(cache: Path, request: Answer) -> None:
    """Remove an environment that is not whole."""
    work = Path(request["work"])
    if work.parent == cache / "environments":
        shutil.rmtree(work, ignore_errors=True)


def tags(cache: Path, request: Answer) -> Answer:
    """Which wheels this Python takes, and what the markers of requirements ask of it."""
    sys.path.insert(0, request["packaging"])
    from packaging.markers import default_environment
    from packaging.tags import sys_tags

    found = list(sys_tags())
    return {
        "platforms": list(dict.fromkeys(tag.platform for tag in found)),
        "abis": list(dict.fromkeys(tag.abi for tag in found)),
        "implementation": found[0].interpreter[:2],
        "environment": default_environment(),
    }


def missing(cache: Path, request: Answer) -> Answer:
    """Which of these files are not here yet, by their hashes, and how much room there is for them."""
    lacking = [sha256 for sha256 in request["files"] if not _used(stored(cache, sha256))]
    return {"missing": lacking, "free": shutil.disk_usage(cache).free}


def receive(cache: Path, request: Answer) -> Answer:
    """Files as a tar stream on standard input, each named by its hash, which is checked."""
    count = 0
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as stream:
        for member in stream:
            content = stream.extractfile(member)
            if content is None or not _SHA256.fullmatch(member.name):
                raise EdgedistillError(f"{member.name[:80]!r} is no file that was announced")
            _store(content, stored(cache, member.name))
            count += 1
    return {"received": count}


def stored(cache: Path, sha256: str) -> Path:
    """Where a file of that hash is kept."""
    return cache / "files" / sha256[:2] / sha256


def _store(content: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != path.name:
            raise EdgedistillError("a file changed while it was sent: run the same command again")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _used(path: Path) -> bool:
    """Whether it is there; then it is not pruned for another month."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def _has(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


_COMMANDS = {
    one.__name__: one for one in (facts, begin, pip, seal, discard, tags, missing, receive, lay_out)
}  # fmt: skip


def main() -> None:
    """`COMMAND CACHE`, as `Host.call` starts it."""
    command, cache = _COMMANDS[sys.argv[1]], Path(sys.argv[2])
    try:
        say("finished", result=command(cache, json.loads(sys.stdin.buffer.readline())))
    except EdgedistillError as error:
        say("failed", message=str(error), exit_code=error.exit_code)
    except (OSError, tarfile.TarError) as error:
        where = getattr(error, "filename", None) or cache
        say("failed", message=f"{where}: {getattr(error, 'strerror', None) or error}", exit_code=_FOUND)
    except KeyboardInterrupt:
        say("failed", message="interrupted", exit_code=130)
