"""`export` of networks that we did not distil."""

import json
import subprocess
import sys

import pytest

from edgedistill.export.builders import BUILDERS
from edgedistill.runtime.bundle import open_bundle, save_run
from edgedistill.runtime.preprocess import Preprocessing, load
from edgedistill.runtime.record import Record

CLASSES = "red\ngreen\nblue\nbright\n"

pytestmark = pytest.mark.usefixtures("children_here", "traced_once")


@pytest.fixture
def given(tiny_bundle, tmp_path, monkeypatch):
    """A folder with somebody's .onnx file, which says nothing of its classes, and their names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes((tiny_bundle / "onnx" / "model.fp32.onnx").read_bytes())
    (tmp_path / "labels.txt").write_text(CLASSES)
    return tmp_path


def test_an_onnx_file_is_exported_where_there_is_no_torch(given, tiny_bundle):
    photo = str(tiny_bundle / "selftest" / "red.jpg")
    targets = ["-t", "coreml-apple-fp16", "-t", "onnxruntime-cpu-fp32"]
    arguments = ["export", "model.onnx", "--classes", "labels.txt", "--selftest", photo, *targets]
    program = "import sys\nsys.modules['torch'] = None\nfrom edgedistill.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # one artifact failed, and the other stands
    assert "model.onnx: squashed to 16x16 pixels (bilinear), normalised by the network itself" in done.stderr
    manifest = json.loads((given / "bundle" / "manifest.json").read_text())
    assert manifest["classes"] == CLASSES.split()
    assert manifest["selftest"]
    coreml, onnxruntime = manifest["artifacts"]
    assert (coreml["status"], onnxruntime["status"]) == ("failed", "verified")
    assert "and an ONNX file was given" in coreml["reason"]


def test_a_request_is_another_one_when_anything_about_the_network_is(given, command):
    export = ["export", "model.onnx", "-o", "b", "--classes"]
    assert command(*export, "labels.txt")[0] == 0
    assert "nothing to do" in command(*export, "labels.txt")[2]
    (given / "labels.json").write_text(json.dumps(CLASSES.split()))
    assert "nothing to do" in command(*export, "labels.json")[2]
    assert "nothing to do" not in command(*export, "labels.txt", "--resize", "center_crop")[2]
    (given / "labels.txt").write_text("a\nb\nc\nd\n")
    assert "nothing to do" not in command(*export, "labels.txt", "--resize", "center_crop")[2]
    assert json.loads((given / "b" / "manifest.json").read_text())["classes"] == ["a", "b", "c", "d"]


def test_a_toolchain_that_is_still_missing_makes_no_other_bundle(given, command, monkeypatch):
    why = "openvino is not installed: get it."
    monkeypatch.setattr(BUILDERS.get("openvino"), "toolchain_missing", staticmethod(lambda target: why))
    export = ["export", "model.onnx", "--classes", "labels.txt", "-o", "b"]
    targets = ["-t", "onnxruntime-cpu-fp32", "-t", "openvino-cpu-fp32"]
    for again in (False, True):
        code, out, err = command(*export, *targets)
        assert code == 1  # one target was not built, and the table says why
        assert why in " ".join(out.split())
        assert ("nothing to do" in err) is again


def test_an_export_that_is_told_to_end_leaves_nothing(given):
    """SIGTERM, which `timeout` and a scheduler send, would end Python at once."""
    program = (
        "import signal\n"
        "from edgedistill.cli import main\n"
        "from edgedistill.export import exporting\n"
        "exporting.write_golden = lambda *_: signal.raise_signal(signal.SIGTERM)\n"
        "main()"
    )
    arguments = ["export", "model.onnx", "--classes", "labels.txt", "-o", "b"]
    before = sorted(given.iterdir())
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, "error: interrupted.")
    assert sorted(given.iterdir()) == before


def test_only_the_zip_is_made_where_all_else_is_there(given, command):
    """What was measured on the bundle is not lost for it."""
    export = ["export", "model.onnx", "-o", "b", "--classes", "labels.txt"]
    assert command(*export)[0] == 0
    save_run(given / "b", "bench", Record())
    before = {path: path.read_bytes() for path in (given / "b").rglob("*") if path.is_file()}
    code, _, err = command(*export, "--zip")
    assert (code, "b is what this command makes: only b.zip was missing." in err) == (0, True), err
    assert {path: path.read_bytes() for path in (given / "b").rglob("*") if path.is_file()} == before
    assert open_bundle(given / "b.zip").manifest == open_bundle(given / "b").manifest
    assert "nothing to do" in command(*export, "--zip")[2]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--output", "embedding"), "embedding: an ONNX file is exported with the outputs that it has"),
        (("--input", "float32_nchw"), "model.onnx: its graph takes uint8 pixels"),
    ],
)
def test_what_a_file_cannot_give_is_told_before_the_split_is_predicted(
    given, command, tiny_bundle, monkeypatch, asked, message
):
    (given / "test.csv").write_text(f"path,labels\n{tiny_bundle / 'selftest' / 'red.jpg'},red\n")
    monkeypatch.setattr("edgedistill.export.references.predict_split", None)
    code, _, err = command(
        "export", "model.onnx", "--classes", "labels.txt", "--data", "test.csv", "--images", "/", *asked
    )
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_a_library_network_is_exported_and_predicts(given, command, tiny_bundle):
    import timm
    import torch

    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=4)
    torch.save(network.state_dict(), given / "mine.pth")
    code, out, said = command(
        *("export", "--model", "timm/test_resnet", "--weights", "mine.pth", "--classes", "labels.txt"),
        *("--size", "64", "-o", "b"),
    )
    assert (code, "verified" in out) == (0, True)
    assert "squashed to 64x64 pixels (bilinear), mean 0.5, 0.5, 0.5" in said
    photo = tiny_bundle / "selftest" / "red.jpg"
    pixels = torch.from_numpy(load(photo, Preprocessing(size=(64, 64)))).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        logits = dict(zip(CLASSES.split(), network.eval()(pixels)[0].tolist(), strict=True))
    found = json.loads(command("predict", "b", photo, "--json")[1])["labels"]
    assert set(found) == {name for name, logit in logits.items() if logit >= 0}
