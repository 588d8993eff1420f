"""A device on the loopback address: an ssh server of the library asyncssh, with a home of its own and a bare Python.

The client is the system's own ssh. Programs run in a network namespace of their own, which has no network at all, where
the system permits that; else pip is told to use none. `open_ssh` has the same behind OpenSSH's server.
"""

import asyncio
import contextlib
import os
import shlex
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

NAME = "pi"
GATE = "gate"  # another name of it, through which one may have to go
_UNSHARE = next(
    (
        command
        for command in (["unshare", "-n"], ["unshare", "-rn"])
        if os.access("/usr/bin/unshare", os.X_OK) and subprocess.run([*command, "true"], check=False).returncode == 0
    ),
    [],
)
_NO_NETWORK = {"PIP_NO_INDEX": "1", "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}


@dataclass
class Device:
    """One that is up.

    Attributes:
        home: of the login; `~/.cache/edgedistill` lies there.
        programs: comes first on its PATH.
        network: whether programs on it may reach one.
        before: shell text that comes before each command, as a limit of that login.
        log: the commands that it was asked to run.
        passed_on: the ports that it was asked to connect to, as a jump host.
    """

    home: Path
    programs: Path
    network: bool = False
    before: str = ""
    log: list[str] = field(default_factory=list)
    passed_on: list[int] = field(default_factory=list)
    port: int = 0

    @property
    def cache(self) -> Path:
        return self.home / ".cache" / "edgedistill"

    @property
    def variables(self) -> dict[str, str]:
        """The login's environment."""
        return {"HOME": str(self.home), "PATH": f"{self.programs}:/usr/bin:/bin", "LANG": "C.UTF-8"}

    @property
    def offline(self) -> list[str]:
        """The command that leaves a program without a network, where the system permits that."""
        return [] if self.network else _UNSHARE

    @property
    def left(self) -> list[Path]:
        """What a command that runs there uses, or has left."""
        return list((self.cache / "runs").iterdir()) if (self.cache / "runs").exists() else []

    def program(self, name: str, text: str) -> None:
        """A shell script on its PATH."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    async def run(self, process: asyncssh.SSHServerProcess) -> None:
        """What sshd does: the login's shell runs the command; when the line ends, so does its input."""
        self.log.append(process.command or "")
        running = await asyncio.create_subprocess_exec(
            *self.offline,
            *("/bin/sh", "-c", f"{self.before}\n{process.command}"),
            env=self.variables if self.network or self.offline else self.variables | _NO_NETWORK,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        fed = asyncio.create_task(_pump(process.stdin, running.stdin))
        await asyncio.gather(_pump(running.stdout, process.stdout), _pump(running.stderr, process.stderr))
        process.exit(await running.wait())
        fed.cancel()


async def _pump(source, sink) -> None:
    """Until the source ends; then the sink does, where it is a program's input."""
    with contextlib.suppress(OSError, asyncssh.Error):  # either end may be gone
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    if isinstance(sink, asyncio.StreamWriter):
        sink.close()


class Server:
    """Runs in a thread; `close` ends it."""

    user = "user"

    def __init__(self, device: Device, folder: Path) -> None:
        self.device, self.folder = device, folder
        self.host_key, self.key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        self._serve()
        self.write_client()

    def write_client(self, **changes: str) -> None:
        """The client's key, known hosts and configuration, and a program `ssh` that reads those of no person."""
        key, config = self.folder / "key", self.folder / "config"
        key.write_bytes(self.key.export_private_key())
        key.chmod(0o600)
        known = self.host_key.export_public_key().decode()
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.device.port} {known}")
        lines = {
            "HostName": "127.0.0.1",
            "Port": str(self.device.port),
            "User": self.user,
            "IdentityFile": str(key),
            "IdentityAgent": "none",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.folder / "known"),
            "GlobalKnownHostsFile": "/dev/null",
            **changes,
        }
        jump = lines.pop("ProxyJump", None)
        blocks = [f"Host {NAME} {GATE}", *(f"  {name} {value}" for name, value in lines.items())]
        blocks += [f"Host {NAME}", f"  ProxyJump {jump}"] if jump else []
        config.write_text("\n".join(blocks) + "\n")
        program = self.folder / "client" / "ssh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {shlex.quote(str(config))} "$@"\n')
        program.chmod(0o755)

    def hang_up(self) -> None:
        """Cut every line, as when a device loses its network."""

        async def cut() -> None:
            for connection in list(self._connections):
                connection.abort()

        self._do(cut())

    def close(self) -> None:
        self._listener.close()
        self.hang_up()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _serve(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._listener = self._do(self._listen())
        self.device.port = self._listener.get_port()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        server = self
        self._connections: list[asyncssh.SSHServerConnection] = []

        class Login(asyncssh.SSHServer):
            def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
                server._connections.append(connection)

            def connection_requested(self, host: str, port: int, *origin: object) -> bool:
                server.device.passed_on.append(port)
                return True

        authorized = asyncssh.import_authorized_keys(self.key.export_public_key().decode())
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Login,
            server_host_keys=[self.host_key],
            authorized_client_keys=authorized,
            process_factory=self.device.run,
            encoding=None,
        )

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


def bare_python() -> str:
    """The interpreter below the environment that runs the tests."""
    return str(getattr(sys, "_base_executable", sys.executable))


def started(*asked: object, python: Path | None = None, **how: Any) -> subprocess.Popen:
    """A command in a process group of its own, as a terminal's; `python` is the device's environment, made already."""
    made = "from edgedistill.remote import device_environment as made; "
    made += f"made._Making.make = lambda making, key: made.Environment(python={str(python)!r}); "
    code = f"{made if python is not None else ''}from edgedistill.cli import main; main()"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, asked)], **pipes | how)


def running(device: Device, *asked: object) -> subprocess.Popen:
    """A command that runs long on the device, and has begun there."""
    process = started(*asked, python=device.programs / "python")
    until(lambda: device.left, 60)
    return process


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
