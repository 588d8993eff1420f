"""Behind OpenSSH's own server, whose way with a command's input, output and end is its own: the same as anywhere."""

import contextlib
import json
import os
import signal
import tempfile
from pathlib import Path

import pytest
from device import GATE, NAME, running, until

from edgedistill.runtime.bundle import read_runs


@pytest.fixture(scope="module")
def server(open_ssh):
    return open_ssh


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    return make_tiny_bundle(tmp_path / "bundle")


def test_verify_sends_what_is_needed_and_keeps_the_report(command, device, installed, bundle, photographs):
    asked = ("verify", bundle, "--data", photographs, "-a", "ort-fp32", "--max-bad-share", "0.5", "--json")
    code, out, err = command(*asked, "--host", NAME)
    assert (code, err) == (5, "")
    assert json.loads(out)["images"] == 3
    assert [run.kind for found in read_runs(bundle).values() for run in found] == ["verify"]
    assert device.left == []


def test_through_a_jump_host(command, server, device, installed, bundle):
    server.write_client(ProxyJump=GATE)
    code, out, err = command("selftest", bundle, "-a", "ort-fp32", "--host", NAME)
    assert (code, err) == (0, "")
    assert "passed" in out


def test_a_refused_login_is_one_line(command, server, device, bundle):
    import asyncssh

    (server.folder / "key").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    code, _, err = command("selftest", bundle, "-a", "ort-fp32", "--host", NAME)
    assert (code, err.count("\n")) == (2, 1)
    assert "pi: refused the login" in err


@pytest.mark.slow
def test_ctrl_c_ends_it_there_too(device, installed, bundle):
    process = running(device, "bench", bundle, "-a", "ort-fp32", "--preset", "full", "--host", NAME)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "pi: interrupted; what was sent is there for the next time" in err
    until(lambda: not device.left)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the line's process in /proc")
def test_a_line_that_breaks_ends_it_there_too(device, installed, bundle, monkeypatch):
    """The client's end of the line is killed, as when this machine loses its network and gives up."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:  # a socket's path is short
        monkeypatch.setenv("TMPDIR", folder)
        process = running(device, "bench", bundle, "-a", "ort-fp32", "--preset", "full", "--host", NAME)
        (line,) = lines(folder)
        os.kill(line, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "pi: the line was lost" in err
    until(lambda: not device.left, 60)


def lines(folder: str) -> list[int]:
    """The processes that hold a line whose socket lies there."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if place.read_bytes().startswith(f"ssh: {folder}/".encode()):
                found.append(int(place.parent.name))
    return found


@pytest.mark.slow
def test_with_a_bare_python_and_no_network(command, device, bundle):
    """All of it, with pip downloading here: made once, used again."""
    for _ in range(2):
        code, out, err = command("selftest", bundle, "-a", "ort-fp32", "--json", "--host", NAME)
        assert (code, err) == (0, "")
        assert json.loads(out)["verdict"] == "passed"
    [place] = (device.cache / "environments").iterdir()
    assert json.loads((place / "environment.json").read_text())["lacking"] == {}
