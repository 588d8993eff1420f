"""What a device says while it works: one line of JSON each, behind a mark, since a login may print what it likes.

A device is not trusted: lines are bounded and decoded into these types, and what they say is only shown or checked.
"""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from subprocess import Popen, TimeoutExpired
from typing import IO, NamedTuple

import msgspec

from ..runtime.errors import EdgedistillError, InterruptedRunError, RefusedError, printable
from ..runtime.json_text import encode_json
from ..runtime.record import Record
from .connection import Connection
from .errors import HostError, UnfitHostError
from .there import MARK

_MARK = MARK.encode()
_LONGEST_LINE = 256 << 20  # a report of a whole benchmark with its samples has a few MB
_LAST_WORDS_S = 20  # how long an interrupted device may take to say what it has

_log = logging.getLogger("edgedistill")


class Stage(NamedTuple):
    """What happens now: in words, and how much of it is done where that is known."""

    text: str
    done: int | None = None
    total: int | None = None


Tell = Callable[[Stage], None]


class Progress(Record, tag="progress"):
    """`Stage` on the wire."""

    text: str
    done: int | None = None
    total: int | None = None


class Warned(Record, tag="warned"):
    """A warning that does not stop the work."""

    text: str


class Finished(Record, tag="finished"):
    """The last line of what went well: what was asked for."""

    result: msgspec.Raw


class Failed(Record, tag="failed"):
    """The last line of what did not: the error for the user, and what was finished before it."""

    message: str
    exit_code: int
    result: msgspec.Raw | None = None


class Interrupted(Exception):  # noqa: N818 (an answer, not a fault)
    """The work was interrupted from here; `answer` is the device's last word, if it had one."""

    def __init__(self, answer: Finished | Failed | None) -> None:
        super().__init__("interrupted")
        self.answer = answer


_Message = Progress | Warned | Finished | Failed
_decoder = msgspec.json.Decoder(_Message)


def encoded(message: _Message) -> bytes:
    """A message as its line."""
    return _MARK + encode_json(message) + b"\n"


class Conversation:
    """A program that runs on the device. It ends itself when its standard input does.

    Args:
        line: the connection.
        arguments: the program and what it is given.
        tell: called with each stage that it says.
    """

    def __init__(self, line: Connection, arguments: Sequence[str], tell: Tell, said: IO[bytes]) -> None:
        self.line, self.tell, self._said = line, tell, said
        self.process: Popen[bytes] = line.start(arguments, said)
        line.began(self)

    def send(self, request: object) -> None:
        """The first line of its input."""
        self.write(encode_json(request) + b"\n")

    def write(self, data: bytes) -> None:
        """More of its input. A program that ended already says itself why: see `answer`."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):  # ValueError: interrupted, and closed by that
            raise self._error(self.last_word()) from None

    def end_input(self) -> None:
        """There is no more to read for it. One that still works for us takes that as an interruption, and cleans up."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def answer(self) -> msgspec.Raw:
        """What it gives when it is finished.

        Raises:
            Interrupted: Ctrl-C here, or `Connection.interrupt`; the program was given the time for its last word.
            HostError: it failed, or the line is lost.
        """
        try:
            found = self.last_word()
        except KeyboardInterrupt:
            raise Interrupted(self._last_words()) from None
        if isinstance(found, Finished):
            return found.result
        raise self._error(found)

    def last_word(self) -> Finished | Failed | None:
        """Read until it is finished or has failed; None where it ended without a word."""
        for message in self._messages():
            if isinstance(message, Finished | Failed):
                return message
            if isinstance(message, Warned):
                _log.warning("%s: %s", self.line.host, printable(message.text))
            else:
                self.tell(Stage(printable(message.text), message.done, message.total))
        return None

    def end(self) -> None:
        """Wait for it, and end it where it does not."""
        self.end_input()
        try:
            self.process.wait(_LAST_WORDS_S)
        except (TimeoutExpired, KeyboardInterrupt):
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _messages(self) -> Iterator[_Message]:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline(_LONGEST_LINE):
            if not line.startswith(_MARK):
                continue
            try:
                yield _decoder.decode(line[len(_MARK) :])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise HostError(f"{self.line.host}: what it sends cannot be read ({error}).") from None

    def _last_words(self) -> Finished | Failed | None:
        """After Ctrl-C: a second one does not wait."""
        self.tell(Stage("interrupted: waiting for the device's last word"))
        self.end_input()
        try:
            return self.last_word()
        except (HostError, KeyboardInterrupt):
            return None

    def _error(self, found: Finished | Failed | None) -> Exception:
        """Why there is no result."""
        if self.line.interrupted:  # its input ended in the middle, and it says that
            return Interrupted(found)
        if isinstance(found, Failed):
            interrupted = found.exit_code == InterruptedRunError.exit_code
            return Interrupted(found) if interrupted else failure(self.line.host, found)
        returncode = self.process.wait()
        self._said.seek(0)
        text = self._said.read().decode(errors="replace")
        if lost := self.line.lost(returncode, text):
            return lost
        lines = [line for line in text.splitlines() if line.strip()]
        last = printable(lines[-1]) if lines else f"exit code {returncode}"
        return HostError(f"{self.line.host}: what ran there ended without an answer ({last}).")


def failure(host: str, found: Failed) -> EdgedistillError:
    """The error that a device tells, with its exit code where that is one of ours."""
    kinds = {kind.exit_code: kind for kind in (HostError, UnfitHostError, RefusedError)}
    return kinds.get(found.exit_code, HostError)(f"{host}: {found.message.removesuffix('.')}.")


@contextmanager
def conversation(line: Connection, arguments: Sequence[str], tell: Tell) -> Iterator[Conversation]:
    """A program on the device, ended with the block."""
    with tempfile.TemporaryFile() as said:
        talk = Conversation(line, arguments, tell, said)
        try:
            yield talk
        finally:
            talk.end()
            line.talks.discard(talk)
