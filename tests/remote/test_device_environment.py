"""The environment on a device with a bare Python and no network: what it needs is downloaded here and sent."""

import json
import shlex

import pytest
from device import NAME
from packaging.requirements import Requirement

from edgedistill.remote import wheels
from edgedistill.remote.own_wheel import Wheel, own_wheel
from edgedistill.remote.wheels import Downloads, Tags, required

PI = Tags(
    platforms=("manylinux_2_36_aarch64", "linux_aarch64"),
    abis=("cp311", "abi3", "none"),
    implementation="cp",
    environment={
        "platform_machine": "aarch64", "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix",
        "python_version": "3.11", "python_full_version": "3.11.2", "implementation_name": "cpython",
        "implementation_version": "3.11.2", "platform_python_implementation": "CPython", "platform_release": "",
        "platform_version": "",
    },
)  # fmt: skip


@pytest.mark.slow
def test_without_a_network_there(command, device, make_tiny_bundle, photographs, tmp_path):
    """All of it, with pip downloading here: made once, and every command runs in what was made."""
    bundle = make_tiny_bundle(tmp_path / "bundle")
    verify = ("verify", "--data", photographs, "--max-bad-share", "0.5")
    asked = [("selftest",), ("selftest",), verify, ("bench", "--preset", "demo")]
    reports, log = [], []
    for name, *options in asked:
        device.log.clear()
        code, out, err = command(name, bundle, "-a", "ort-fp32", *options, "--json", "--host", NAME)
        assert code == (5 if name == "verify" else 0), err  # 5: no gate
        reports.append(json.loads(out))
        log.append([shlex.split(line) for line in device.log])
    for making in ("begin", "pip", "seal"):
        assert [any(making in words for words in lines) for lines in log] == [True, False, False, False]
    [place] = (device.cache / "environments").iterdir()
    agents = [words[0] for lines in log for words in lines if "edgedistill.remote.agent" in words]
    assert agents == [str(place / "bin" / "python")] * 4
    assert [report["verdict"] for report in reports[:2]] == ["passed", "passed"]
    assert (reports[2]["images"], reports[2]["artifacts"][0]["ran"]) == (3, True)
    assert reports[3]["artifacts"][0]["p50_ms"] > 0
    assert json.loads((place / "environment.json").read_text())["lacking"] == {}
    assert not (place / "wheels").exists()


def test_markers_are_asked_of_the_device():
    found = {str(one) for one in required(own_wheel(), ["litert", "tensorrt"], PI)}
    assert {"numpy>=1.24", "ai-edge-litert>=2.1"} <= found  # one of four, and TensorRT-RTX has none for a Pi
    assert not any("tensorrt" in one for one in found)


def test_what_wheels_require_is_downloaded_too(monkeypatch):
    """pip follows no requirement itself: it would ask their markers of this machine."""
    requires = {
        "one": ["two>=2", "three; platform_machine == 'x86_64'", "four[extra]"],
        "two": [],
        "four": ["five; extra == 'extra'", "two<3", "six; extra == 'other'"],
        "five": [],
    }
    asked = []

    def pip(requirements, tags):
        asked.append(sorted(requirements))
        return [_wheel(Requirement(text).name, requires[Requirement(text).name]) for text in requirements]

    monkeypatch.setattr(wheels, "_pip", pip)
    found = Downloads(PI).add([Requirement("one")])
    assert sorted(wheel.name.split("-")[0] for wheel in found) == ["five", "four", "one", "two"]
    assert asked == [["one"], ["four[extra]", "two>=2"], ["five", "two<3,>=2"]]


def _wheel(name: str, requires: list[str]) -> Wheel:
    import io
    import zipfile

    stream = io.BytesIO()
    lines = [f"Name: {name}", "Version: 2.1", "Metadata-Version: 2.1", *(f"Requires-Dist: {one}" for one in requires)]
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{name}-2.1.dist-info/METADATA", "\n".join(lines) + "\n")
    return Wheel(f"{name}-2.1-py3-none-any.whl", stream.getvalue())
