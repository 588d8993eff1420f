"""A device that cannot be used gets one line that says why and what to do, and its exit code."""

import subprocess

import pytest
from device import NAME

from edgedistill.remote import device_environment, sending
from edgedistill.remote.own_wheel import own_wheel

PYTHONS = ["python3", *(f"python3.{minor}" for minor in range(10, 16))]


@pytest.fixture
def asked(command, device, tiny_bundle):
    """Ask for a self-test: exit code and the one line."""

    def ask(host: str = NAME) -> tuple[int, str]:
        code, out, err = command("selftest", tiny_bundle, "-a", "ort-fp32", "--host", host)
        assert out == ""
        assert err.count("\n") == 1
        return code, err

    return ask


@pytest.fixture
def without_pythons(device):
    yield
    for name in PYTHONS:
        (device.programs / name).unlink(missing_ok=True)


def test_without_python(asked, device, without_pythons):
    for name in PYTHONS:
        device.program(name, "exit 127")
    code, said = asked()
    assert code == 3
    assert said.startswith("error: pi: has no Python; 3.10 or newer is needed. Install it there")


def test_with_too_old_a_python(asked, device, without_pythons):
    for name in PYTHONS:
        device.program(name, "exit 127")
    device.program("python3", "echo edgedistill:python 3.9.2 /usr/bin/python3; exit 1")
    code, said = asked()
    assert code == 3
    assert said.startswith("error: pi: its Python is 3.9.2; 3.10 or newer is needed.")


def test_another_host_key(asked, server):
    (server.folder / "known").write_text(f"[127.0.0.1]:{server.device.port} {server.key.export_public_key().decode()}")
    code, said = asked()
    assert code == 2
    assert "pi: its host key is another than the one that is known for it" in said
    assert "ssh-keygen -R" in said


def test_an_unknown_host_key(asked, server):
    (server.folder / "known").write_text("")
    code, said = asked()
    assert code == 2
    assert "pi: its host key is not known here. Log in once by `ssh pi`" in said


def test_a_refused_login(asked, server):
    import asyncssh

    stranger = asyncssh.generate_private_key("ssh-ed25519")
    (server.folder / "key").write_bytes(stranger.export_private_key())
    code, said = asked()
    assert code == 2
    assert "pi: refused the login" in said
    assert "ssh-copy-id pi" in said


def test_nobody_answers(asked, server):
    server.write_client(Port="1")
    code, said = asked()
    assert code == 2
    assert "pi: does not answer" in said
    assert "Connection refused" in said


def test_no_such_name(asked):
    code, said = asked("no-such-device.invalid")
    assert code == 2
    assert "no-such-device.invalid: there is no device of that name" in said


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "a b", "pi\n"])
def test_what_is_no_host(asked, host):
    code, said = asked(host)
    assert code == 2
    assert "give what ssh takes" in said or "No such option" in said


def test_without_ssh(asked, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, said = asked()
    assert code == 3
    assert "ssh is not installed here" in said


def test_too_little_room_for_the_environment(asked, monkeypatch):
    monkeypatch.setattr(device_environment, "_ROOM_MB", 10**9)
    code, said = asked()
    assert code == 3
    assert "MB free below" in said
    assert "the environment takes about 1000000250 MB. Free space there" in said


def test_too_little_room_for_the_files(asked, installed, monkeypatch, device):
    import shutil

    shutil.rmtree(device.cache / "files", ignore_errors=True)
    monkeypatch.setattr(sending, "_SPARED", 10**18)
    code, said = asked()
    assert code == 3
    assert "are to be sent there. Free space there" in said


def test_a_full_disk(asked, device):
    """A limit on the size of files stands for it."""
    wheel = device.cache / "wheels" / own_wheel().sha256 / own_wheel().name
    wheel.unlink(missing_ok=True)
    device.before = "ulimit -f 1"
    code, said = asked()
    assert code == 2
    assert "cannot be written there" in said
    assert not wheel.exists()


@pytest.mark.slow
def test_a_processor_without_wheels(asked, device, monkeypatch):
    """Neither pip on the device nor the one here finds any, in an index that has none."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    device.before = "export PIP_NO_INDEX=1 _PYTHON_HOST_PLATFORM=linux-riscv64"
    code, said = asked()
    assert code == 3
    assert "pi: there is no wheel of " in said
    assert "riscv64" in said
    assert not list((device.cache / "environments").glob(".*"))


def test_what_it_was_asked_to_run_is_one_line_each(device):
    """A shell that is not a POSIX one may break a quoted line end."""
    assert all("\n" not in line for line in device.log)


def test_ssh_is_that_of_the_system():
    done = subprocess.run(["/usr/bin/ssh", "-V"], capture_output=True, text=True, check=True)
    assert "OpenSSH" in done.stderr
