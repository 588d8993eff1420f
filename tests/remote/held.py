"""Places at which a device waits for the test, which can so act there without a guess at how long something takes."""

import os
import platform
import shlex
import signal
import subprocess
from pathlib import Path

from device import Device, bare_python, until

PASSED = 1_000_000  # bytes of what is sent that the device takes before it waits


class Gate:
    """A named pipe. Who opens it to read waits, until it is opened; then it is gone, and the next one passes."""

    def __init__(self, path: Path) -> None:
        self.path, self._end = path, -1
        os.mkfifo(path)

    def wait(self) -> None:
        """Until somebody waits there."""
        until(self._reached, 120)

    def open(self) -> None:
        self.path.unlink()
        if self._end >= 0:
            os.close(self._end)

    def _reached(self) -> bool:
        try:
            self._end = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads
            return False
        return True


def hold_python(device: Device, command: str, gate: Path) -> None:
    """Its Python waits at the gate: before it begins an environment, in pip, or between the files that it receives."""
    itself, at = device.programs / "python3", shlex.quote(str(gate))
    held = {
        "begin": f"cat {at}",
        "pip": f"export PIP_CONFIG_FILE={at}",
        "receive": f'{{ head -c {PASSED}; cat {at}; cat; }} | {bare_python()} "$@"; exit',
    }
    lines = [
        'case "$*" in',
        f'*edgedistill:python*) echo "edgedistill:python {platform.python_version()} {itself}"; exit;;',
        f'*" {command} "*) if [ -p {at} ]; then {held[command]}; fi;;',
        "esac",
        f'exec {bare_python()} "$@"',
    ]
    device.program("python3", "\n".join(lines))


def hold_photograph(python: Path, folder: Path, name: str, gate: Path) -> None:
    """What runs by this Python waits at the gate, where it is, before it opens a photograph of that name."""
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def hold(event, about):\n"
        f"    if event == 'open' and str(about[0]).endswith({name!r}) and os.path.exists({str(gate)!r}):\n"
        f"        open({str(gate)!r}).read()\n"
        "sys.addaudithook(hold)\n"
    )
    python.write_text(python.read_text().replace("PYTHONPATH=", f"PYTHONPATH={folder}:"))


def remains(device: Device) -> list[Path]:
    """What an interrupted command must not leave: its run, half an environment, half a file."""
    return [*device.left, *device.cache.glob("environments/.*.tmp"), *device.cache.glob("files/*/.*.tmp")]


def interrupt(process: subprocess.Popen) -> None:
    """Ctrl-C, which a terminal sends to all that runs in its foreground."""
    os.killpg(process.pid, signal.SIGINT)
