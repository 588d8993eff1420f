"""One line to a device, by the system's own ssh: its configuration, keys and jump hosts are the user's.

Every command is a channel of one connection (OpenSSH's ControlMaster), so that a login happens once.
"""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from ..runtime.errors import ConfigError, MissingDependencyError, printable
from .errors import HostError

if TYPE_CHECKING:
    from .conversation import Conversation

# A line that is gone is noticed after a minute; the connection of a command that was killed ends by itself.
_KEPT = ("-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4", "-T")
_PERSIST_S = 600
_LONGEST_SOCKET = 80  # a socket's path has 104 bytes at most, and ssh adds 17 while it makes one
_LOST = 255  # what ssh says when it is the line that failed

# What ssh says, and what it means to the person who reads it.
_REASONS = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is another than the one that is known for it. If the device was installed anew, forget the old "
        "key (`ssh-keygen -R` with its name), then log in once by `ssh {host}` and compare the new one",
    ),
    (
        r"Host key verification failed",
        "its host key is not known here. Log in once by `ssh {host}` and compare the key",
    ),
    (
        r"Permission denied",
        "refused the login ({last}). `ssh-copy-id {host}` puts your key there; `ssh {host}` must work first",
    ),
    (r"Could not resolve hostname", "there is no device of that name ({last}). Check the name, or ~/.ssh/config"),
    (
        r"Connection refused|timed out|No route to host|unreachable|Connection (closed|reset)",
        "does not answer ({last}). Is it on, in this network, and does its ssh server run?",
    ),
)


class Connection:
    """An open line. A context manager: leaving it ends the line, and with it what still runs on the device.

    Args:
        host: what ssh takes: `user@name`, `ssh://user@name:port`, or a name of ~/.ssh/config.
        ask: let ssh ask for a password or about a host key where there is a terminal.

    Raises:
        ConfigError: `host` cannot be a host.
        MissingDependencyError: there is no ssh here.
        HostError: the line cannot be opened; says why.
    """

    def __init__(self, host: str, *, ask: bool = True) -> None:
        if not host or host.startswith("-") or not host.isprintable() or any(letter.isspace() for letter in host):
            raise ConfigError(f"--host {host!r}: give what ssh takes, such as user@pi or a name of ~/.ssh/config.")
        program = shutil.which("ssh")
        if program is None:
            raise MissingDependencyError("ssh is not installed here: install OpenSSH's client (openssh-client).")
        self.host = host
        self.talks: set[Conversation] = set()
        self.interrupted = False
        self._cleaning_up = False
        self._folder = Path(tempfile.mkdtemp(prefix="ed-"))
        if len(str(self._folder)) > _LONGEST_SOCKET:
            self._folder.rmdir()
            self._folder = Path(tempfile.mkdtemp(prefix="ed-", dir="/tmp"))
        # OpenSSH on Windows has no ControlMaster: there, each command logs in.
        self._shares = os.name == "posix"
        control = ["-o", f"ControlPath={self._folder / 'line'}"] if self._shares else []
        self._ssh = [program, *_KEPT, *control, *([] if ask else ["-o", "BatchMode=yes"])]

    def __enter__(self) -> "Connection":
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def start(self, arguments: Sequence[str], said: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program on the device, without a shell's say: every argument is quoted.

        Ctrl-C in the terminal does not reach it: whoever reads its output decides how it ends.

        Args:
            arguments: the program and what it is given.
            said: where its standard error goes, and ssh's.

        Raises:
            KeyboardInterrupt: the line was interrupted before.
        """
        if self.interrupted and not self._cleaning_up:
            raise KeyboardInterrupt
        command = [*self._ssh, "-o", "ControlMaster=no", "--", self.host, shlex.join(arguments)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, start_new_session=True
        )

    def interrupt(self) -> None:
        """From another thread: what runs on the device ends itself, and nothing new is started."""
        self.interrupted = True
        for talk in tuple(self.talks) if not self._cleaning_up else ():
            talk.end_input()

    def began(self, talk: "Conversation") -> None:
        """Know what `interrupt` ends; it may have come while this was started."""
        self.talks.add(talk)
        if self.interrupted and not self._cleaning_up:
            talk.end_input()

    @contextlib.contextmanager
    def cleaning_up(self) -> Iterator[None]:
        """In this block programs start, and go on, although the line is interrupted: they remove what others left."""
        self._cleaning_up = True
        try:
            yield
        finally:
            self._cleaning_up = False

    def lost(self, returncode: int, said: str) -> HostError | None:
        """The error where a program's end is ssh's own failure."""
        if returncode != _LOST:
            return None
        return HostError(
            f"{self.host}: the line was lost ({_last(said)}). Run the same command again: what is there already is not "
            "sent again."
        )

    def close(self) -> None:
        """End the line; closing twice is fine."""
        if self._shares and (self._folder / "line").exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    [*self._ssh, "-O", "exit", "--", self.host],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=10,
                    check=False,
                )
        shutil.rmtree(self._folder, ignore_errors=True)

    def _open(self) -> None:
        """Log in, in the terminal's own session, so that ssh can ask there."""
        stay = ["-o", "ControlMaster=yes", "-o", f"ControlPersist={_PERSIST_S}"] if self._shares else []
        # A file and no pipe: the connection that stays behind would hold a pipe open.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                [*self._ssh, *stay, "--", self.host, "exit 0"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                check=False,
            )
            said.seek(0)
            text = said.read().decode(errors="replace")
        if done.returncode == _LOST:
            raise HostError(f"{self.host}: {self._reason(text)}.")

    def _reason(self, said: str) -> str:
        for pattern, text in _REASONS:
            if re.search(pattern, said):
                return text.format(host=self.host, last=_last(said))
        return f"ssh cannot connect ({_last(said)}). `ssh {self.host}` must work first"


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return printable(lines[-1].removesuffix(".")) if lines else "ssh says nothing"
