"""Ctrl-C at any point of a command: nothing half-done stays on the device, and the same command then has its result."""

import json
import subprocess

import pytest
from device import NAME, Device, started, until
from held import Gate, hold_photograph, hold_python, interrupt, remains
from PIL import Image

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(usual_ssh):
    return usual_ssh


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    return make_tiny_bundle(tmp_path / "bundle")


def test_while_a_photograph_is_read(command, device, installed, bundle, photographs, tmp_path):
    gate = Gate(tmp_path / "gate")
    hold_photograph(installed, tmp_path, "teal.jpg", gate.path)
    folder = device.home / "photographs"
    folder.mkdir()
    for photo in photographs.parent.glob("*.jpg"):
        (folder / photo.name).write_bytes(photo.read_bytes())
    asked = ("verify", bundle, "--data", photographs, "--remote-data", folder, "-a", "ort-fp32")
    asked += ("--max-bad-share", "0.5", "--json", "--host", NAME)
    process = started(*asked, python=installed)
    gate.wait()
    assert device.left
    interrupt_at(gate, process, asked, device)
    code, out, err = command(*asked)
    assert code == 5, err  # no gate
    assert json.loads(out)["images"] == 3
    assert remains(device) == []


def test_while_files_are_sent(command, device, installed, bundle, tmp_path):
    """What arrived whole is not sent again."""
    Image.new("RGB", (2000, 1500)).save(tmp_path / "large.png", compress_level=0)  # more than ssh takes in advance
    labels, devices = tmp_path / "labels.csv", tmp_path / "devices.yaml"
    labels.write_text("path,labels\nlarge.png,red\n")
    devices.write_text(f"run: [verify]\ndata: {labels}\ndevices: [{{host: {NAME}, artifacts: [ort-fp32]}}]\n")
    alone = ("verify", bundle, "--data", labels, "-a", "ort-fp32", "--json", "--host", NAME)
    fleet = ("fleet", devices, bundle, "--json")
    for asked in (alone, fleet):
        gate = Gate(tmp_path / f"gate of {asked[0]}")
        hold_python(device, "receive", gate.path)
        process = started(*asked, python=installed)
        gate.wait()
        until(lambda: remains(device))
        whole = {path: path.stat().st_ino for path in device.cache.glob("files/*/[!.]*")}
        assert whole
        interrupt_at(gate, process, asked, device)
    for asked in (fleet, alone):
        code, out, err = command(*asked)
        assert code == 5, err
    assert json.loads(out)["images"] == 1
    assert whole.items() <= {path: path.stat().st_ino for path in device.cache.glob("files/*/*")}.items()
    assert remains(device) == []


def test_while_the_environment_is_made(command, device, bundle, tmp_path):
    """Before it is begun there and in pip; a fleet's devices are interrupted from another thread."""
    devices = tmp_path / "devices.yaml"
    devices.write_text(f"run: [bench]\npreset: demo\ndevices: [{{host: {NAME}, artifacts: [ort-fp32]}}]\n")
    alone = ("bench", bundle, "-a", "ort-fp32", "--preset", "demo", "--json", "--host", NAME)
    fleet = ("fleet", devices, bundle, "--json")
    for number, (asked, place) in enumerate([(alone, "begin"), (alone, "pip"), (fleet, "begin"), (fleet, "pip")]):
        gate = Gate(tmp_path / f"gate {number}")
        hold_python(device, place, gate.path)
        process = started(*asked)
        gate.wait()
        interrupt_at(gate, process, asked, device)
    for asked in (alone, fleet):
        code, out, err = command(*asked)
        assert code == 0, err
        found = json.loads(out)
        report = found if asked == alone else found["devices"][0]["bench"]
        assert report["artifacts"][0]["p50_ms"] > 0
    assert len(list((device.cache / "environments").iterdir())) == 1
    assert remains(device) == []


def interrupt_at(gate: Gate, process: subprocess.Popen, asked: tuple, device: Device) -> None:
    """Where the device waits at the gate; nothing half-done is left there."""
    interrupt(process)
    gate.open()
    check_interrupted(process, asked)
    until(lambda: not remains(device))


def check_interrupted(process: subprocess.Popen, asked: tuple) -> None:
    """It ends as interrupted, and says so, whatever the device had to say."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (asked, err)
    if asked[0] == "fleet":
        assert [one["error"] for one in json.loads(out)["devices"]] == ["interrupted"], asked
    else:
        assert err.endswith("error: pi: interrupted; what was sent is there for the next time.\n"), asked
