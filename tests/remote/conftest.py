"""A device of this machine's kind, and an environment on it that takes no installation."""

import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("asyncssh", reason="asyncssh, the ssh server that stands for a device, is not installed")
sys.path.insert(0, str(Path(__file__).parent))

from device import Device, Server, bare_python
from open_ssh import SSHD, OpenSsh

from edgedistill.remote import device_environment
from edgedistill.remote.device_environment import Environment
from edgedistill.remote.own_wheel import own_wheel


def pytest_collection_modifyitems(items):
    if shutil.which("ssh") is None:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="no ssh here: install openssh-client"))


def up(kind: type[Server], folder: Path) -> Iterator[Server]:
    """A device behind a server of that kind."""
    home, programs = folder / "ho'me $(touch broken)", folder / "programs"  # every shell on the way must leave it alone
    home.mkdir()
    programs.mkdir()
    running = kind(Device(home, programs), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder / 'client'}:{os.environ['PATH']}")
        yield running
    running.close()


@pytest.fixture(scope="module")
def open_ssh(tmp_path_factory):
    """The same behind OpenSSH's own server; skips where there is none."""
    if SSHD is None:
        pytest.skip("no sshd here: install openssh-server")
    yield from up(OpenSsh, tmp_path_factory.mktemp("sshd"))


@pytest.fixture(scope="module")
def usual_ssh(tmp_path_factory):
    """The same behind the server that boards have, where there is one."""
    yield from up(OpenSsh if SSHD else Server, tmp_path_factory.mktemp("usual"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A device that is up, with the client's `ssh` on this process's PATH."""
    yield from up(Server, tmp_path_factory.mktemp("ssh"))


@pytest.fixture
def device(server):
    """The device, as it is at first: with what it keeps from other tests."""
    server.write_client()
    server.device.log.clear()
    server.device.passed_on.clear()
    server.device.before = ""
    server.device.program("python3", f'exec {bare_python()} "$@"')
    return server.device


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """The wheel that devices get, unpacked as an installer does."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = folder / own_wheel().name
    wheel.write_bytes(own_wheel().data)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def installed(monkeypatch, unpacked, device) -> Path:
    """An environment on the device that has this environment's packages, and edgedistill from the wheel."""
    device.program(
        "python", f'shift; PYTHONPATH={unpacked} exec {sys.executable} "$@"'
    )  # -I would leave PYTHONPATH out
    python = device.programs / "python"
    monkeypatch.setattr(device_environment._Making, "make", lambda making, key: Environment(python=str(python)))
    return python


@pytest.fixture(scope="module")
def photographs(tmp_path_factory, tiny_bundle) -> Path:
    """A CSV that labels the bundle's own photographs, one of which is missing."""
    folder = tmp_path_factory.mktemp("photographs")
    rows = ["path,labels", "red.jpg,red", "teal.jpg,green;blue", "grey.jpg,bright", "lost.jpg,red"]
    (folder / "labels.csv").write_text("\n".join(rows))
    for photo in (tiny_bundle / "selftest").iterdir():
        shutil.copy(photo, folder)
    return folder / "labels.csv"
