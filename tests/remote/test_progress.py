"""What a device does is seen here while it does it."""

import contextlib
import json
import os
import re
import select
import time

import pytest
from device import NAME, started
from held import Gate, hold_photograph

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(usual_ssh):
    return usual_ssh


@pytest.mark.parametrize(
    ("command", "shown"), [("verify", "pi: verifying.*32/33"), ("fleet", "pi +verifying +32 of 33")]
)
def test_the_terminal_counts_images_before_the_last_one_can_be_read(
    device, installed, make_tiny_bundle, photographs, tmp_path, command, shown
):
    """The device reads that only when the terminal has shown the others: a batch has 32 images."""
    bundle, gate = make_tiny_bundle(tmp_path / "bundle"), Gate(tmp_path / "gate")
    hold_photograph(installed, tmp_path, "last.jpg", gate.path)
    folder, names = device.home / command, [*map(str, range(32)), "last"]
    folder.mkdir()
    for name in names:
        (folder / f"{name}.jpg").write_bytes((photographs.parent / "red.jpg").read_bytes())
    labels, devices = tmp_path / "labels.csv", tmp_path / "devices.yaml"
    labels.write_text("\n".join(["path,labels", *(f"{name}.jpg,red" for name in names)]))
    how = f"{{host: {NAME}, artifacts: [ort-fp32], remote_data: {json.dumps(str(folder))}}}"
    devices.write_text(f"run: [verify]\ndata: {labels}\ndevices: [{how}]\n")
    asked = {
        "verify": ("verify", bundle, "--data", labels, "--remote-data", folder, "-a", "ort-fp32", "--host", NAME),
        "fleet": ("fleet", devices, bundle),
    }
    terminal, end = os.openpty()
    shape = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = started(*asked[command], "--json", python=installed, stderr=end, env=shape)
    os.close(end)
    try:
        gate.wait()
        seen(terminal, shown)
    finally:  # else it would wait for ever
        gate.open()
    seen(terminal, None)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 5  # no gate
    assert '"images": 33' in out


def seen(terminal: int, pattern: str | None) -> None:
    """Read what the terminal shows until that is in it; all of it where nothing is looked for."""
    text, end = "", time.monotonic() + 60
    while pattern is None or not re.search(pattern, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)):
        assert select.select([terminal], [], [], 60)[0], text
        assert time.monotonic() < end, text  # the seconds that are drawn never end
        data = b""
        with contextlib.suppress(OSError):  # what Linux says where the other end is closed
            data = os.read(terminal, 4096)
        text = (text + data.decode(errors="replace"))[-4000:]
        if not data:
            assert pattern is None, text
            break
