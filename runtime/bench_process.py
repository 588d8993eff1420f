"""The benchmark's end of a measured process: start it, ask it, and say how it ended if it did."""

import subprocess
import sys
import tempfile
from importlib import import_module
from os import environ, pathsep
from pathlib import Path
from types import TracebackType

import msgspec

from .bench_worker import Answer, Request


class Worker:
    """A bench_worker process, killed when the `with` block ends."""

    def __init__(self) -> None:
        root = __package__.partition(".")[0]
        home = Path(import_module(root).__file__ or "").parent.parent
        path = pathsep.join(part for part in (environ.get("PYTHONPATH"), str(home)) if part)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  a pipe that nobody reads would fill up and block it
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.bench_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**environ, "PYTHONPATH": path},
        )

    def ask(self, request: Request) -> Answer:
        """Send a request and wait for its answer; raises WorkerDiedError with the last line that it wrote."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
        except OSError:
            line = b""
        else:
            line = self._process.stdout.readline()
        if not line:
            raise WorkerDiedError(self._epitaph())
        return msgspec.json.decode(line, type=Answer)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _epitaph(self) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        return f"its process ended {how}: {last}"


class WorkerDiedError(Exception):
    """The measured process is gone; the others go on."""
