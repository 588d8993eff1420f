"""The device of `device.py` behind OpenSSH's own server, where that is installed."""

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

from device import Device, Server

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class OpenSsh(Server):
    """The same device behind OpenSSH's own server, as every board has it; its logins are this process's user's."""

    def __init__(self, device: Device, folder: Path) -> None:
        import pwd  # not on Windows, which collects this file too

        self.user = pwd.getpwuid(os.getuid()).pw_name
        super().__init__(device, folder)

    def close(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(20)

    def _serve(self) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.device.port = found.getsockname()[1]
        with contextlib.suppress(OSError):  # of root's alone
            Path("/run/sshd").mkdir(mode=0o755)
        key, known, command = (self.folder / name for name in ("host_key", "authorized", "command"))
        key.touch(mode=0o600)
        key.write_bytes(self.host_key.export_private_key())
        known.write_bytes(self.key.export_public_key())
        login = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in self.device.variables.items())
        run = shlex.join([*self.device.offline, "/bin/sh", "-c"])
        command.write_text(f'#!/bin/sh\n{login}\ncd "$HOME"\nexec {run} "$SSH_ORIGINAL_COMMAND"\n')
        command.chmod(0o755)
        lines = {
            "Port": self.device.port, "ListenAddress": "127.0.0.1", "HostKey": key, "AuthorizedKeysFile": known,
            "ForceCommand": command, "PidFile": "none", "StrictModes": "no", "UsePAM": "no",
            "PermitRootLogin": "prohibit-password", "PasswordAuthentication": "no",
        }  # fmt: skip
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        self._daemon = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.device.port)):
                return
            assert self._daemon.poll() is None, f"sshd ended with {self._daemon.returncode}"
            time.sleep(0.05)
