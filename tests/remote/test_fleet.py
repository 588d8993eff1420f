"""Several devices at once: what one lacks stops no other; one table, one exit code."""

import json
from pathlib import Path

import pytest
from device import GATE, NAME

from edgedistill.remote import fleet
from edgedistill.remote.errors import HostError
from edgedistill.remote.fleet_file import read_fleet
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.targets import load_host, load_target


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    return make_tiny_bundle(tmp_path / "bundle")


def written(folder, text: str):
    path = folder / "devices.yaml"
    path.write_text(text)
    return path


def test_one_that_is_not_there_stops_no_other(command, device, installed, bundle, photographs, tmp_path):
    (tmp_path / "kiosk.yaml").write_text(f"backend: onnxruntime\nprecision: fp32\nhost: {NAME}\nname: ort-fp32\n")
    path = written(
        tmp_path,
        f"run: [selftest, verify]\ndata: {photographs}\ndevices:\n"
        f"  - {{host: {NAME}, name: kitchen, artifacts: [ov-fp32]}}\n"
        "  - {host: nowhere.invalid}\n"
        "  - {target: kiosk.yaml, name: kiosk, threads: 1}\n",
    )
    code, out, err = command("fleet", path, bundle, "--json")
    assert code == 3
    report = json.loads(out)
    kitchen, nowhere, kiosk = report["devices"]
    assert kitchen["selftest"]["verdict"] == kiosk["selftest"]["verdict"] == "passed"
    assert [one["name"] for one in kitchen["verify"]["artifacts"]] == ["ov-fp32"]
    assert [one["name"] for one in kiosk["verify"]["artifacts"]] == ["ort-fp32"]
    assert kiosk["verify"]["artifacts"][0]["effective"]["threads"] == "1"
    assert nowhere["error"].startswith("there is no device of that name")
    assert [one["verdict"] for one in report["devices"]] == ["not judged", "could not run", "not judged"]
    assert len(list(bundle.glob("results/*/*-verify-*.json"))) == 2
    assert "kitchen: done" in err


def test_two_work_at_the_same_time(command, device, installed, bundle, tmp_path):
    """Each begins its command there and goes on only when the other has begun, too: one after the other, none would."""
    begun = tmp_path / "begun"
    begun.mkdir()
    wait = (
        f"touch {begun}/$$; tries=0; while [ $(ls {begun} | wc -l) -lt 2 ]; do tries=$((tries + 1)); "
        "[ $tries -lt 300 ] || { echo 'the other one does not begin' >&2; exit 1; }; sleep 0.1; done"
    )
    device.program("python", f"{wait}\n{installed.read_text()}")
    path = written(tmp_path, f"run: [selftest]\ndevices: [{{host: {NAME}}}, {{host: {GATE}}}]\n")
    code, out, err = command("fleet", path, bundle, "--json")
    assert code == 0, (out, err)
    found = [(one["name"], one["selftest"]["verdict"]) for one in json.loads(out)["devices"]]
    assert found == [(NAME, "passed"), (GATE, "passed")]
    assert len(list(begun.iterdir())) == 2


def test_one_table(command, device, installed, bundle, tmp_path):
    path = written(tmp_path, f"run: [selftest]\ndevices: [{{host: {NAME}}}, {{host: nowhere.invalid}}]\n")
    code, out, _ = command("fleet", path, bundle)
    assert code == 3
    assert out.count("passed") >= 2
    assert "could not run  nowhere.invalid: there is no device of that name" in out


def test_check_on_every_device(command, device, installed, bundle, photographs, tmp_path):
    """Each artifact that is named, but for the one that it is held against; the columns are those of what ran."""
    devices = f"devices: [{{host: {NAME}, artifacts: [ort-fp32, ov-fp32]}}, {{host: {NAME}, name: all}}]"
    settings = "run: [check]\nimages: .\ncheck: {against: onnx/fp32, max_changed: 100}\n"
    path = written(photographs.parent, settings + devices)
    code, out, err = command("fleet", path, bundle, "--json")
    named, unnamed = json.loads(out)["devices"]
    assert [one["artifact"] for one in named["check"]] == ["ov-fp32"], err
    assert named["check"][0]["agreement"]["images"] == 3
    assert [one["artifact"] for one in unnamed["check"]] == ["ov-fp32"]  # the first but for the reference
    assert (named["verdict"], unnamed["verdict"], code) == ("passed", "passed", 0)
    path.write_text(f"run: [check]\ndevices: [{{host: {NAME}, remote_data: {device.home / 'nothing'}}}]")
    code, out, _ = command("fleet", path, bundle)
    assert code == 3
    assert out.split()[:7] == ["device", "artifact", "verdict", NAME, "could", "not", "run"]
    assert "no such folder" in out


def test_a_full_disk_here_stops_no_other(bundle, tmp_path, monkeypatch):
    path = written(tmp_path, "run: [selftest]\ndevices: [{host: full}, {host: silent}]")
    built = []

    def connect(host, **_):
        assert built  # before any device asks for it
        raise OSError(28, "No space left on device", "/tmp/x") if host == "full" else HostError("silent: no answer")

    monkeypatch.setattr(fleet, "Connection", connect)
    monkeypatch.setattr(fleet, "own_wheel", lambda: built.append(1))
    found = fleet.run_fleet(read_fleet(path), bundle, ("red",), lambda *_: None)
    assert [one.error for one in found.devices] == ["/tmp/x: No space left on device", "no answer"]
    assert (found.exit_code, len(built)) == (3, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("devices: []", "`devices` is empty"),
        ("devices: [{hots: pi}]", "unknown key `devices[0].hots`. Did you mean `host`?"),
        ("devices: [{host: pi}]\nrnu: []", "unknown key `rnu`"),
        ("devices: [{host: pi}]\nrun: [dance]", "Allowed: selftest, verify, check, bench"),
        ("devices: [{host: pi}]\nrun: [bench, bench]", "once at most"),
        ("devices: [{host: pi}]\nrun: [verify]", "verify, which needs `data`"),
        ("devices: [{host: pi}]\nrun: [check]", "check, which needs `images`"),
        ("devices: [{host: pi}]\ncheck: {max_changed: 5}", "`check`: max_changed: say against what"),
        ("devices: [{host: pi}]\ncheck: {max_drift: 20}", "`check`: max_drift 20: is a distance from 0 to 1"),
        ("devices: [{name: x}]", "`devices[0]` needs `host`, or a `target`"),
        ("devices: [{host: pi}, {host: pi}]", "two devices are called 'pi'"),
        ("devices: [{host: pi, threads: many}]", "expected `int | null`"),
        ("devices: [{target: onnxruntime.yaml}]", "no such file"),
    ],
)
def test_mistakes_in_the_file_name_the_key(command, tiny_bundle, tmp_path, text, said):
    path = written(tmp_path, text)
    code, out, err = command("fleet", path, tiny_bundle)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_paths_start_from_the_file(tmp_path):
    text = "run: [verify]\ndata: labels.csv\nimages: photos\ncheck: {against: scores.csv}\ndevices: [{host: pi}]"
    found = read_fleet(written(tmp_path, text))
    assert (found.data, found.images) == (str(tmp_path / "labels.csv"), str(tmp_path / "photos"))
    assert found.check.against == str(tmp_path / "scores.csv")


def test_the_page_shows_a_file_that_is_read(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "devices.md"
    [text] = [block for block in page.read_text(encoding="utf-8").split("```yaml\n") if "devices:" in block]
    (tmp_path / "my_kiosk.yaml").write_text("backend: onnxruntime\nprecision: fp32\nhost: user@kiosk\n")
    found = read_fleet(written(tmp_path, text.split("```")[0]))
    assert [device.name for device in found.devices] == ["kitchen", "jetson", "user@kiosk"]


def test_a_deploy_config_names_its_device_and_a_bundle_does_not(tmp_path):
    path = tmp_path / "kiosk.yaml"
    path.write_text("backend: onnxruntime\nprecision: fp32\nhost: user@kiosk\n")
    target, host = load_host(path)
    assert (host, target) == ("user@kiosk", load_target(path))
    assert not hasattr(target, "host")
    with pytest.raises(ConfigError, match="names no `host`"):
        load_host("onnxruntime-cpu-fp32")
    path.write_text("backend: onnxruntime\nprecision: fp32\nhsot: user@kiosk\n")
    with pytest.raises(ConfigError, match="Did you mean `host`"):
        load_host(path)
