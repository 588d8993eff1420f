"""An exporter in a process of its own: when a native library takes the process down, the export goes on."""

import contextlib
import contextvars
import inspect
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from . import child_main
from .errors import ExportError, one_line

_TAIL_BYTES = 8192
_LISTENS_EVERY_S = 0.2


class Ended(BaseException):
    """The children of all threads were ended; no `except Exception` takes it for a failure of its own."""


class Children:
    """The children of threads that work at once: each is kept to a share of the cores, and they end together.

    Of threads that were begun within it, in a copy of its context. One that begins while no other runs has all cores.

    Args:
        shares: cores for each, of which there are as many as there are threads.
    """

    def __init__(self, shares: Sequence[set[int]]) -> None:
        self._all = set().union(*shares)
        self._free: queue.SimpleQueue[set[int]] = queue.SimpleQueue()
        for share in shares:
            self._free.put(share)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False
        self._lock = threading.Lock()

    def __enter__(self) -> "Children":
        self._token = _CHILDREN.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _CHILDREN.reset(self._token)

    @contextlib.contextmanager
    def holding(self, process: "subprocess.Popen[bytes]") -> Iterator[None]:
        """As long as it works, which it has not begun.

        Raises:
            Ended: it was ended, or is to be.
        """
        share = self._free.get()
        try:
            with self._lock:
                if self._ended:
                    raise Ended
                cores = share if self._running else self._all
                self._running.add(process)
            with contextlib.suppress(OSError):  # it has ended; or a sandbox forbids it, and it takes what it gets
                os.sched_setaffinity(process.pid, cores)
            yield
            if self._ended:
                raise Ended
        finally:
            with self._lock:
                self._running.discard(process)
            self._free.put(share)

    def end(self) -> None:
        """End those that run, and from now on each that begins."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.kill()


_CHILDREN: contextvars.ContextVar[Children | None] = contextvars.ContextVar("children", default=None)


def run_in_child(
    function: Callable[..., Any],
    *arguments: object,
    what: str,
    timeout_s: float | None = None,
    python: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Any:
    """Call a function in a child process and return what it returns, which must be of JSON's types.

    The child imports the function's module and what that imports, nothing else; what it prints is kept from the
    terminal, and its temporary files are removed. It ends with this process, however that ends, and its own children
    end with it.

    Args:
        function: of a module's top level.
        arguments: of JSON's types, or paths and msgspec's structs, which arrive as JSON's types.
        what: what failed when it fails, as the beginning of a sentence, e.g. "OpenVINO cannot convert the graph".
        timeout_s: it is stopped after so many seconds; None, the default, lets it take what it takes: an engine for a
            small device may be hours in the making.
        python: another environment's interpreter, which need not have edgedistill: the function's file is then
            imported without the packages above it, and may import what stands in that environment or beside the file.
        say: told what the child is at; the function then takes one more argument, which it calls with each line.

    Raises:
        ExportError: the function raised, its process crashed or took too long; says which, with its last words.
    """
    request: dict[str, object] = {
        "function": function.__qualname__,
        "module": function.__module__,
        "file": inspect.getfile(function),
        "packages": {} if python is not None else _packages(function.__module__),
        "arguments": arguments,
    }
    with tempfile.TemporaryDirectory(prefix="edgedistill-", ignore_cleanup_errors=True) as folder:
        request["answer"] = answer = Path(folder, "answer.json")
        said = None if say is None else _Said(Path(folder, "said"), say)
        request["said"] = None if said is None else said.path
        wait = _silent_wait if said is None else said.wait
        encoded = msgspec.json.encode(request, enc_hook=str)
        ended = _run(python, encoded, Path(folder), what, lambda process: wait(process, timeout_s))
        if not answer.exists():
            raise ExportError(f"{what}: {ended}.")
        found = msgspec.json.decode(answer.read_bytes())
    if "error" not in found:
        return found["value"]
    raise ExportError(found["error"] if found["is_ours"] else f"{what}: {one_line(found['error'])}")


def _packages(module: str) -> dict[str, str]:
    """Files of the packages that are imported by where they are: the child may not have them on its path."""
    roots = dict.fromkeys((__name__.partition(".")[0], module.partition(".")[0]))
    files = {root: getattr(sys.modules.get(root), "__file__", None) for root in roots}
    return {root: file for root, file in files.items() if file and Path(file).name == "__init__.py"}


def _silent_wait(process: "subprocess.Popen[bytes]", timeout_s: float | None) -> int:
    return process.wait(timeout_s)


class _Said:
    """What a child says while it works: lines of a file."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path, self._say, self._told = path, say, 0
        path.touch()

    def wait(self, process: "subprocess.Popen[bytes]", timeout_s: float | None) -> int:
        """As `process.wait`, while every line is passed on."""
        began = time.monotonic()
        while process.poll() is None:
            if timeout_s is not None and time.monotonic() - began > timeout_s:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LISTENS_EVERY_S)
            self._pass_on()
        self._pass_on()
        return process.wait()

    def _pass_on(self) -> None:
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # the last is not whole
        for line in lines[self._told :]:
            self._say(line)
        self._told = len(lines)


def _run(
    python: Path | None, request: bytes, folder: Path, what: str, wait: Callable[["subprocess.Popen[bytes]"], int]
) -> str:
    """Let the child do its work; how it ended, in words."""
    own = Path(sys.executable)
    # -P: a file called onnx.py in the current folder must not be taken for the library.
    # -I: nor may PYTHONPATH put this environment's libraries before those of another.
    command = [str(python or own), "-P" if python in (None, own) else "-I", child_main.__file__]
    # What tools leave behind in the folder for temporary files goes with this one: they tidy up when Python ends, which
    # a child that crashes or is killed never sees, and one that is done does not wait for.
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        try:
            # A session of its own: Ctrl-C in a terminal reaches this process alone, which then ends the whole group.
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                env=environment,
            )
        except OSError as error:
            raise ExportError(f"{what}: {command[0]} cannot be started ({error.strerror}).") from error
        assert process.stdin is not None
        children = _CHILDREN.get()
        try:
            with children.holding(process) if children is not None else contextlib.nullcontext():
                with contextlib.suppress(OSError):  # it has ended: its status tells
                    process.stdin.write(request + b"\n")
                    process.stdin.flush()
                status = wait(process)
        except subprocess.TimeoutExpired as error:
            return f"it took more than {error.timeout:g} s and was stopped{_last_words(folder)}"
        finally:
            _end(process)
    return f"{_in_words(status)}{_last_words(folder)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Also where it has ended already: what it started may live on."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: no permission for what has just ended
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    with contextlib.suppress(OSError):  # what was not flushed cannot be now
        process.stdin.close()  # type: ignore[union-attr]


def _in_words(status: int) -> str:
    if status >= 0:
        return f"its process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = ", as when memory runs out" if name == "SIGKILL" else ""
    return f"its process crashed with {name}{hint}"


def _last_words(folder: Path) -> str:
    """The last line that it wrote for people, as the end of a sentence."""
    for name in ("stderr", "stdout"):
        with (folder / name).open("rb") as stream:
            stream.seek(max(0, (folder / name).stat().st_size - _TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
        for line in reversed(lines):
            if line.strip():
                return f": {one_line(line)}"
    return ""
