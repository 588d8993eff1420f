"""The benchmark's end of a measured process: start it, ask it with a time limit, and say how it ended if it did."""

import contextlib
import queue
import subprocess
import sys
import threading
import time
from importlib import import_module
from types import TracebackType
from typing import IO

import msgspec

from .messages import Answer, Request

# The folder in which a command is run belongs to the user and may hold a numpy.py. `-c` puts it first on the path (not
# where PYTHONSAFEPATH is set), so it is taken off before anything is imported; the package comes from its very file.
# Ctrl-C reaches every process of a terminal: what becomes of this one is the parent's decision.
_BOOT = """
import sys
if sys.path[:1] == [""]:
    del sys.path[0]
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from importlib.util import module_from_spec, spec_from_file_location
root, file, worker = sys.argv[1:]
spec = spec_from_file_location(root, file)
sys.modules[root] = module_from_spec(spec)
spec.loader.exec_module(sys.modules[root])
from importlib import import_module
import_module(worker).main()
"""
_LONGEST_ANSWER = 256 * 2**20
_UNREAD_ANSWERS = 2  # there is one per request: one that says more is held up
_TAIL_BYTES = 8192
_LONGEST_REASON = 300
_ENDING_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 0.5


class Worker:
    """A measured process, killed when the `with` block ends."""

    def __init__(self) -> None:
        root = __package__.partition(".")[0]
        file = import_module(root).__file__ or ""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, root, file, f"{__package__}.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin
        self._answers: queue.Queue[bytes] = queue.Queue(_UNREAD_ANSWERS)
        self._tail = b""
        # Threads, since a pipe that nobody reads fills up and blocks its writer, and Windows cannot wait for a pipe.
        self._readers = [
            threading.Thread(target=self._read_answers, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_tail, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: Request, *, seconds: float, doing: str) -> Answer:
        """Send a request and wait for its answer.

        Args:
            request: what it should do.
            seconds: how long it may take; the process is ended then.
            doing: for the message, e.g. "loading".

        Raises:
            WorkerLostError: it died, said something that is no answer, or took too long; says which.
        """
        try:
            self._stdin.write(msgspec.json.encode(request) + b"\n")
            self._stdin.flush()
        except OSError:
            raise WorkerLostError(self._epitaph()) from None
        line = self._answer(time.monotonic() + seconds)
        if line is None:
            self.close()
            raise WorkerLostError(f"gave no answer within {seconds:.0f} s while {doing}: stopped.")
        if not line:
            raise WorkerLostError(self._epitaph())
        try:
            return msgspec.json.decode(line, type=Answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.close()
            raise WorkerLostError(f"its process wrote something that is no answer while {doing}: stopped.") from None

    def close(self) -> None:
        """End the process, if it has not ended, and wait until it has."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        deadline = time.monotonic() + _ENDING_SECONDS
        while any(reader.is_alive() for reader in self._readers) and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                self._answers.get(timeout=0.05)
        with contextlib.suppress(OSError):  # what was not flushed cannot be now
            self._stdin.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _answer(self, deadline: float) -> bytes | None:
        """The next line; None after the deadline. Windows heeds Ctrl-C only between two short waits."""
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=min(left, _LONGEST_WAIT_SECONDS))
        return None

    def _read_answers(self, stdout: IO[bytes]) -> None:
        """Pass on what it says, line by line; b"" when it has ended or babbles."""
        with stdout:
            while (line := stdout.readline(_LONGEST_ANSWER)).endswith(b"\n"):
                self._answers.put(line)
        self._answers.put(b"")

    def _read_tail(self, stderr: IO[bytes]) -> None:
        """Keep the last that it wrote for people, however much that is."""
        with stderr:
            while chunk := stderr.read1(_TAIL_BYTES):  # type: ignore[attr-defined]
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]

    def _epitaph(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING_SECONDS)  # it may have closed its pipes a moment before it ends
        ended = self._process.poll() is not None
        self.close()
        code = self._process.returncode
        lines = [line.strip() for line in self._tail.decode(errors="replace").splitlines()]
        last = next((line for line in reversed(lines) if line), "it wrote nothing")[-_LONGEST_REASON:]
        if not ended:
            return f"its process closed its output and went on: stopped; {last}"
        return f"its process ended {f'by signal {-code}' if code < 0 else f'with code {code}'}: {last}"


class WorkerLostError(Exception):
    """The measured process is gone; the others go on."""
