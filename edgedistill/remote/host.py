"""A device: its Python, the folder that is ours there, and calls of what the wheel brings."""

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from ..runtime.errors import printable
from .connection import Connection
from .conversation import Conversation, Stage, Tell, conversation
from .errors import HostError, UnfitHostError
from .own_wheel import own_wheel
from .there import MARK

LOWEST_PYTHON = (3, 10)  # `requires-python` of pyproject.toml
_NEWEST_TRIED = 15

# One line without `!` and line ends, which not every login shell leaves alone in quotes. Beside the usual places, where
# people install a newer Python: a login without a terminal does not look there.
_PYTHONS = " ".join(["python3", *(f"python3.{minor}" for minor in range(_NEWEST_TRIED, LOWEST_PYTHON[1] - 1, -1))])
_TELL_PYTHON = (
    f"import sys; print('{MARK}python', '.'.join(map(str, sys.version_info[:3])), sys.executable); "
    f"sys.exit(sys.version_info < {LOWEST_PYTHON})"
)
_FIND = (
    'PATH="$PATH:$HOME/.local/bin:/usr/local/bin:/opt/homebrew/bin"; '
    'cache="${EDGEDISTILL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/edgedistill}"; '
    f'echo "{MARK}cache $cache"; test -f "$cache/$1" && touch "$cache/$1" && echo "{MARK}wheel"; '
    f'for one in {_PYTHONS}; do "$one" -c "{_TELL_PYTHON}" 2>/dev/null && break; done; true'
)
# Written whole or not at all, and only what has the hash.
_TAKE_WHEEL = (
    "import hashlib, pathlib, sys; path, sha256 = sys.argv[1:]; data = sys.stdin.buffer.read(); "
    "sys.exit('the line was lost') if hashlib.sha256(data).hexdigest() != sha256 else None; "
    "part = pathlib.Path(path + '.part'); part.parent.mkdir(parents=True, exist_ok=True); "
    "part.write_bytes(data); part.replace(path)"
)
_CALL = "import sys; sys.path.insert(0, sys.argv.pop(1)); from edgedistill.remote.there import main; main()"

T = TypeVar("T")


class Host:
    """A device that is connected and has a Python that will do.

    Args:
        line: its connection.
        tell: called with what happens there.

    Raises:
        UnfitHostError: it has no Python, or too old a one.
        HostError: the line is lost, or our folder cannot be written there.
    """

    def __init__(self, line: Connection, tell: Tell) -> None:
        self.line, self.tell = line, tell
        self.wheel = own_wheel()
        kept = f"wheels/{self.wheel.sha256}/{self.wheel.name}"
        self.python, self.version, self.cache, has_wheel = self._find(kept)
        self.wheel_path = f"{self.cache}/{kept}"
        if not has_wheel:
            self._send_wheel()

    @property
    def name(self) -> str:
        return self.line.host

    def call(self, command: str, request: Mapping[str, Any], *, into: type[T]) -> T:
        """Run a command of `there`, and give what it answers as the type `into`."""
        with self.talk(command) as talk:
            talk.send(request)
            return self.decoded(talk.answer(), into)

    @contextmanager
    def talk(self, command: str) -> Iterator[Conversation]:
        """A command of `there` whose input goes on after its request."""
        with conversation(
            self.line, [self.python, "-I", "-c", _CALL, self.wheel_path, command, self.cache], self.tell
        ) as talk:
            yield talk

    def decoded(self, answer: msgspec.Raw, into: type[T]) -> T:
        """An answer in its type; a device may say anything."""
        try:
            return msgspec.json.decode(answer, type=into)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HostError(f"{self.name}: its answer cannot be read ({error}).") from None

    def _find(self, wheel: str) -> tuple[str, str, str, bool]:
        """Its Python and that's version, the folder that is ours, and whether the wheel is there."""
        self.tell(Stage("looking for Python"))
        _, out, _ = self._run(["sh", "-c", _FIND, "sh", wheel])
        said = [line.split(" ") for line in out.decode(errors="replace").splitlines() if line.startswith(MARK)]
        found = {words[0].removeprefix(MARK): words[1:] for words in said}  # of several Pythons the last, which will do
        if "cache" not in found:
            raise UnfitHostError(f"{self.name}: has no POSIX shell (`sh`), which is needed there.")
        version, path = (found.get("python") or [""])[0], " ".join(found.get("python", [])[1:])
        numbers = tuple(int(part) for part in version.split(".") if part.isdecimal())
        if numbers < LOWEST_PYTHON:
            has = f"its Python is {version}" if version else "has no Python"
            wanted = ".".join(map(str, LOWEST_PYTHON))
            raise UnfitHostError(
                f"{self.name}: {has}; {wanted} or newer is needed. Install it there, e.g. `sudo apt install python3`, "
                "or `uv python install 3.12`."
            )
        return path, version, " ".join(found["cache"]), "wheel" in found

    def _send_wheel(self) -> None:
        self.tell(Stage("sending edgedistill"))
        command = [self.python, "-I", "-c", _TAKE_WHEEL, self.wheel_path, self.wheel.sha256]
        returncode, _, said = self._run(command, self.wheel.data)
        if returncode:
            last = (said.strip().splitlines() or [f"exit code {returncode}"])[-1]
            raise HostError(
                f"{self.name}: {self.cache} cannot be written there ({printable(last)}). Free space, or name another "
                "folder by EDGEDISTILL_CACHE in that login's environment."
            )

    def _run(self, arguments: Sequence[str], data: bytes = b"") -> tuple[int, bytes, str]:
        """A small program's exit code, output and errors."""
        with tempfile.TemporaryFile() as said:
            running = self.line.start(arguments, said)
            try:
                out, _ = running.communicate(data)
            except BaseException:
                running.kill()
                running.wait()
                raise
            said.seek(0)
            text = said.read().decode(errors="replace")
        if lost := self.line.lost(running.returncode, text):
            raise lost
        return running.returncode, out, text


@contextmanager
def open_host(host: str, tell: Tell, *, ask: bool = True) -> Iterator[Host]:
    """Connect to a device; see `Connection` and `Host` for what can be wrong."""
    tell(Stage(f"connecting to {shlex.quote(host)}"))
    with Connection(host, ask=ask) as line:
        yield Host(line, tell)
