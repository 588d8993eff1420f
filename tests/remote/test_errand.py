"""verify, bench and selftest on a device: the reports of here, the same results, nothing sent twice, nothing left."""

import json
import os
import signal
import sys

import pytest
from device import GATE, NAME, running, until

from edgedistill.runtime.bundle import read_runs


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    return make_tiny_bundle(tmp_path / "bundle")


def calls(device, word: str) -> int:
    return sum(f" {word} " in line for line in device.log)


def test_verify_gives_what_it_gives_here_and_keeps_it(command, device, installed, bundle, photographs):
    asked = ("verify", bundle, "--data", photographs, "-a", "ort-fp32", "--max-bad-share", "0.5", "--json")
    code, out, err = command(*asked, "--host", NAME)
    assert (code, err) == (5, "")  # no gate
    there, here = json.loads(out), json.loads(command(*asked)[1])
    for name in ("created", "saved"):
        there.pop(name), here.pop(name)
    assert [image["id"] for image in there["skipped"]] == ["lost.jpg"]
    reasons = [report.pop("skipped")[0]["reason"] for report in (there, here)]
    assert all("no such" in reason for reason in reasons), reasons
    assert there == here
    runs = [run for found in read_runs(bundle).values() for run in found]
    assert [run.kind for run in runs] == ["verify", "verify"]
    assert device.left == []
    device.log.clear()
    assert command(*asked, "--host", NAME)[0] == 5
    assert (calls(device, "missing"), calls(device, "receive")) == (1, 0)  # what is there is not sent again


def test_images_that_lie_on_the_device_are_not_sent(command, device, installed, bundle, photographs):
    folder = device.home / "my photos"
    if not folder.exists():
        folder.mkdir()
        for photo in photographs.parent.glob("*.jpg"):
            (folder / photo.name).write_bytes(photo.read_bytes())
        (folder / "labels.csv").write_text(photographs.read_text())
    usual = ("verify", bundle, "-a", "ort-fp32", "--max-bad-share", "0.5", "--json", "--host", NAME)
    labels_here = command(*usual, "--data", photographs, "--remote-data", folder)
    all_there = command(*usual, "--remote-data", folder / "labels.csv")
    assert labels_here[0] == all_there[0] == 5, (labels_here, all_there)
    fingerprints = {json.loads(found[1])["fingerprint"] for found in (labels_here, all_there)}
    assert len(fingerprints) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "{name}"], "--data: is missing"),
        (["--remote-data", "/x"], "--remote-data: is a path on a device: name that by --host"),
        (["--data", "{folder}", "--remote-data", "/x", "--host", "{name}"], "--data is one label file here"),
        (["--data", "{csv}", "--images", "y", "--remote-data", "/x", "--host", "{name}"], "leave it out"),
        (["--remote-data", "/nowhere.csv", "--host", "{name}"], "pi: /nowhere.csv: no such file or folder"),
        (["--data", "{csv}", "--host", "{name}", "-a", "none"], "holds no artifact 'none'"),
    ],
)
def test_mistakes_take_one_line(command, device, installed, bundle, photographs, arguments, said):
    given = [one.format(name=NAME, folder=photographs.parent, csv=photographs) for one in arguments]
    code, out, err = command("verify", bundle, *given)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_check_of_a_folder_here_or_there(command, device, installed, bundle, photographs, tmp_path):
    scores = tmp_path / "scores.csv"
    rows = [f"{name}.jpg,0.9,0.1,0.1,0.1" for name in ("red", "teal", "grey")]
    scores.write_text("\n".join(["id,red,green,blue,bright", *rows]))
    odd = photographs.parent / (os.fsdecode(b"odd\xff.jpg") if sys.platform == "linux" else "odd.jpg")  # no text
    odd.write_bytes((photographs.parent / "red.jpg").read_bytes())
    asked = ("check", bundle, "-a", "ort-fp32", "--against", scores, "--json")
    here = command(*asked, "--images", photographs.parent)
    sent = command(*asked, "--images", photographs.parent, "--host", NAME)
    odd.unlink()  # the other tests' folder
    assert (here[0], sent[0]) == (5, 5), (here, sent)
    reports = [json.loads(one[1]) for one in (here, sent)]
    for report in reports:
        report.pop("created"), report.pop("saved")
    assert reports[0] == reports[1]
    folder = device.home / "seen"
    folder.mkdir(exist_ok=True)
    (folder / "red.jpg").write_bytes((photographs.parent / "red.jpg").read_bytes())
    device.log.clear()
    there = command(*asked[:-3], "--json", "--remote-data", folder, "--host", NAME)
    assert there[0] == 5, there
    assert json.loads(there[1])["images"] == 1
    assert sorted(run.kind for runs in read_runs(bundle).values() for run in runs) == ["check"] * 3


def test_through_a_jump_host(command, server, device, installed, bundle):
    """What the client's own configuration says of the way is left to it."""
    server.write_client(ProxyJump=GATE)
    code, out, err = command("selftest", bundle, "-a", "ort-fp32", "--host", NAME)
    assert (code, err) == (0, "")
    assert "passed" in out
    assert device.passed_on == [device.port]  # one line for all of it


def test_selftest_of_a_zip(command, device, installed, bundle):
    from edgedistill.runtime.bundle import open_bundle, zip_bundle

    archive = zip_bundle(open_bundle(bundle), bundle.with_suffix(".zip"))
    code, out, err = command("selftest", archive, "-a", "ort-fp32", "--host", NAME)
    assert (code, err) == (0, "")
    assert "passed" in out


def test_what_a_command_cannot_do_there_it_says_with_the_device(command, device, installed, bundle):
    code, _, err = command("bench", bundle, "-a", "ort-fp32", "--batch-size", 64, "--host", NAME)
    assert code == 2
    assert err == "error: pi: ort-fp32: takes batches of 1 to 4 images, not 64.\n"
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["artifacts"][0]["target"]["device"] = "quantum"
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    code, _, err = command("selftest", bundle, "-a", "ort-fp32", "--host", NAME)
    assert code == 3
    assert err.startswith(f"error: pi: {bundle}: no artifact could be run here.")


@pytest.mark.slow
def test_bench_keeps_its_samples(command, device, installed, bundle, photographs):
    photo = photographs.parent / "teal.jpg"
    asked = ("bench", bundle, "-a", "ort-fp32", "--preset", "demo", "--photo", photo, "--json", "--host", NAME)
    code, out, _ = command(*asked)
    assert code == 0
    report = json.loads(out)
    assert report["artifacts"][0]["spans"]["photo"] == str(photo)
    assert report["device_facts"]["cores"] >= 1
    assert len(report["artifacts"][0]["samples_ms"]) >= 100
    [path] = bundle.glob("results/*/*.samples.npz")
    assert report["saved"] == str(path).replace(".samples.npz", ".json")


@pytest.mark.slow
def test_a_model_file_alone(command, device, installed, bundle):
    model = bundle / "onnx" / "model.fp32.onnx"
    code, out, err = command("bench", model, "--preset", "demo", "--host", NAME)
    assert (code, err) == (0, "")
    assert "model.fp32.onnx" in out


@pytest.mark.slow
def test_ctrl_c_ends_it_there_too(device, installed, bundle):
    process = running(device, "bench", bundle, "-a", "ort-fp32", "--preset", "full", "--host", NAME)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "pi: interrupted; what was sent is there for the next time" in err
    until(lambda: not device.left)


@pytest.mark.slow
def test_ctrl_c_ends_a_fleet(device, installed, bundle, tmp_path):
    devices = tmp_path / "devices.yaml"
    devices.write_text(f"run: [bench]\npreset: full\ndevices: [{{host: {NAME}, artifacts: [ort-fp32]}}]\n")
    process = running(device, "fleet", devices, bundle, "--json")
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    report = json.loads(out)
    assert report["interrupted"]
    assert report["devices"][0]["error"] == "interrupted"
    until(lambda: not device.left)


@pytest.mark.slow
def test_a_line_that_breaks_ends_it_there_too(server, device, installed, bundle):
    process = running(device, "bench", bundle, "-a", "ort-fp32", "--preset", "full", "--host", NAME)
    server.hang_up()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "pi: the line was lost" in err
    assert "what is there already is not sent again" in err
    until(lambda: not device.left)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"type":"finished","result":{"report":{},"device":{}}}', "its answer cannot be read"),
        ("{{{", "what it sends cannot be read"),
        ('{"type":"failed","message":"\\u001b[2Jgone","exit_code":9}', "\\x1b[2Jgone"),
        ("", "ended without an answer"),
    ],
)
def test_a_hostile_device_is_not_believed(command, device, installed, bundle, answer, said):
    device.program("python", f"cat > /dev/null <&0 & echo 'edgedistill:{answer}'" if answer else "exit 0")
    code, out, err = command("selftest", bundle, "-a", "ort-fp32", "--host", NAME)
    assert (code, out) == (2, "")
    assert said in err
    assert "\x1b" not in err


@pytest.mark.slow
def test_a_device_writes_nowhere_else(command, device, installed, bundle, tmp_path):
    """Its report names its folder."""
    text = (device.programs / "python").read_text().splitlines()[1]
    itself = text.replace("exec ", "")
    device.program("python", f'({itself}) | sed \'s#"device":"[a-z0-9_-]*"#"device":"../../x"#g\'')
    code, out, _ = command("bench", bundle, "-a", "ort-fp32", "--preset", "demo", "--host", NAME)
    assert code == 0
    assert "not saved  '../../x' is no device's short name" in out
    assert not list(tmp_path.rglob("x"))
