"""What is wrong with a command's arguments is told before torch is imported, which takes seconds."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

# Runs each command line of stdin in one process, which has never imported torch when it ends.
RUNNER = """
import contextlib, io, json, sys
from edgedistill.cli import main
for arguments in json.load(sys.stdin):
    sys.argv = ["edgedistill", *arguments]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            main()
        except SystemExit as left:
            code = left.code
    print(json.dumps([code, said.getvalue(), "torch" in sys.modules]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory, tiny_bundle):
    """By case: exit code, what was said, and whether torch had been imported by then."""
    folder = tmp_path_factory.mktemp("early")
    card = json.dumps({"classes": ["red", "green", "blue", "bright"]})
    weights = {"weight": np.zeros(2, np.float32)}
    save_file(weights, folder / "student.safetensors", {"edgedistill": card})
    save_file(weights, folder / "bare.safetensors")
    save_file(weights, folder / "other.safetensors", {"edgedistill": "{}"})
    (folder / "text.safetensors").write_text("no weights")
    (folder / "bf16.yaml").write_text(yaml.safe_dump({"backend": "onnxruntime", "precision": "bf16"}))
    (folder / "wrong.yaml").write_text("backend: onnxruntime\nprecison: fp32\n")
    (folder / "text.jpg").write_text("no image")
    (folder / "labels.csv").write_text(f"path,labels\n{tiny_bundle / 'selftest' / 'red.jpg'},yellow\n")
    photos = [f"{name}.jpg" for name in ("red", "teal", "grey")]
    (folder / "fine.csv").write_text("path,labels\n" + "".join(f"{photo},red\n" for photo in photos))
    for photo in photos:
        shutil.copy(tiny_bundle / "selftest" / photo, folder)
    (folder / "web" / "app").mkdir(parents=True)
    (folder / "web" / "manifest.json").write_text("{}")
    (folder / "names.txt").write_text("red\ngreen\n\nblue\n")
    student = f"{folder}/student.safetensors"
    export = ["export", student, "-o", f"{folder}/out"]
    cases = {
        "unknown target": [*export, "-t", "onnxruntime-cpu-fp23"],
        "target twice": [*export, "-t", "onnxruntime-cpu-fp32", "-t", "onnxruntime-cpu-fp32"],
        "impossible precision": [*export, "-t", f"{folder}/bf16.yaml"],
        "int8 alone": [*export, "-t", "onnxruntime-cpu-int8"],
        "int8 on the test split": [
            *(*export, "-t", "onnxruntime-cpu-int8", "--data", f"{folder}/fine.csv"),
            *("--calibration", f"{folder}/fine.csv"),
        ],
        "int8 on nothing": [*export, "-t", "onnxruntime-cpu-int8", "--calibration", f"{folder}/web"],
        "opset of the future": [*export, "--opset", "999"],
        "opset of the past": [*export, "--opset", "17"],
        "thresholds on the test split": [
            *(*export, "--data", f"{folder}/fine.csv", "--validation", f"{folder}/fine.csv"),
        ],
        "thresholds on nothing": [*export, "--thresholds", "precision=0.9"],
        "no rule": [*export, "--thresholds", "precision=9", "--validation", f"{folder}/fine.csv"],
        "misspelt key": [*export, "-t", f"{folder}/wrong.yaml"],
        "no student": ["export", f"{folder}/none.safetensors", "-o", f"{folder}/out"],
        "no safetensors": ["export", f"{folder}/text.safetensors", "-o", f"{folder}/out"],
        "bare weights": ["export", f"{folder}/bare.safetensors", "-o", f"{folder}/out"],
        "other card": ["export", f"{folder}/other.safetensors", "-o", f"{folder}/out"],
        "no data": [*export, "--data", f"{folder}/none.csv"],
        "other classes": [*export, "--data", f"{folder}/labels.csv", "--images", "/"],
        "images without data": [*export, "--images", str(folder)],
        "no photograph": [*export, "--selftest", f"{folder}/none.jpg"],
        "a folder as photograph": [*export, "--selftest", str(folder)],
        "text as photograph": [*export, "--selftest", f"{folder}/text.jpg"],
        "somebody's folder": ["export", student, "-o", f"{folder}/web"],
        "a zip": ["export", student, "-o", f"{folder}/out.zip"],
        "no network": ["export", "-o", f"{folder}/out"],
        "two networks": [*export, "--model", "timm/resnet18"],
        "weights of a student": [*export, "--weights", f"{folder}/bare.safetensors"],
        "classes of a student": [*export, "--classes", f"{folder}/names.txt", "--size", "64"],
        "library": ["export", "--model", "timm/resnet18", "--classes", f"{folder}/names.txt"],
        "library, weights": ["export", "--model", "timm/resnet18", "--weights", "x.pth", "--classes", "names.txt"],
        "library, classes": [
            *("export", "--model", "timm/resnet18", "--weights", f"{folder}/bare.safetensors"),
            *("--classes", f"{folder}/names.txt"),
        ],
        "no library": ["export", "--model", "mobilenetv2", "--weights", "x.pth", "--classes", "names.txt"],
        "no onnx": ["export", f"{folder}/none.onnx", "--classes", f"{folder}/names.txt"],
        "run": ["run", f"{folder}/none.yaml"],
        "run, packaged": ["run", "dmeo"],
        "run, seeds": ["run", "demo", "--seeds", "1,x"],
        "run, key": ["run", "demo", "train.epochs"],
        "dry run": ["run", f"{folder}/none.yaml", "--dry-run"],
        "train": ["train", f"{folder}/none.yaml"],
        "distill": ["distill", f"{folder}/none.yaml"],
        "distill, key": ["distill", "demo", "=3"],
        "distill, seeds": ["distill", f"{folder}/none.yaml", "--seeds", "1,2"],
        "evaluate": ["evaluate", f"{folder}/none.yaml"],
        "evaluate, student": ["evaluate", "demo", "--student", f"{folder}/none.safetensors"],
        "inspect": ["inspect", f"{folder}/text.safetensors"],
        "evaluate, teacher": ["evaluate", "demo", "--teacher", f"{folder}/text.safetensors"],
        "study": ["study", f"{folder}/none.yaml"],
        "study, key": ["study", f"{folder}/bf16.yaml", "epochs"],
    }
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(list(cases.values())),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(cases, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "unknown target",
            "unknown target 'onnxruntime-cpu-fp23': did you mean 'onnxruntime-cpu-fp32'? Give a .yaml path",
        ),
        ("target twice", "the target onnxruntime-cpu-fp32 is given twice"),
        ("impossible precision", "onnxruntime is not built in bf16; one of: fp32, fp16, int8"),
        ("int8 alone", "onnxruntime-cpu-int8: int8 is calibrated on training images: give them with --calibration"),
        ("int8 on the test split", "of its images are also in fine"),
        ("int8 on nothing", "web: holds no image to calibrate on"),
        ("opset of the future", "opset 999: PyTorch writes 18 and newer, and onnx "),
        ("opset of the past", "opset 17: PyTorch writes 18 and newer"),
        ("thresholds on the test split", "3 of its images are also in fine, on which the bundle is judged"),
        ("thresholds on nothing", "they are estimated on validation images: give them with --validation DATA"),
        ("no rule", "thresholds 'precision=9': give a probability such as 0.5, best_f1, precision=0.9 or recall=0.8"),
        ("misspelt key", "precison"),
        ("no student", "none.safetensors: no such checkpoint"),
        ("no safetensors", "text.safetensors: damaged or not a safetensors file"),
        ("bare weights", "bare.safetensors: bare weights without an edgedistill card"),
        ("other card", "other.safetensors: its card cannot be read"),
        ("no data", "none.csv: no such file"),
        ("other classes", "'yellow'"),
        ("images without data", "is the image folder of --data"),
        ("no photograph", "none.jpg: no such image"),
        ("a folder as photograph", "is not a regular file"),
        ("text as photograph", "text.jpg: cannot be decoded"),
        ("somebody's folder", "web: is not empty"),
        ("a zip", "out.zip: a bundle is a folder"),
        ("no network", "give one network: a student.safetensors, an .onnx file, or --model timm/NAME with --weights"),
        ("two networks", "give one network"),
        ("weights of a student", "bare.safetensors: are those of --model timm/NAME; "),
        ("classes of a student", "--classes, --size: "),
        ("library", "--model timm/resnet18: --weights is missing"),
        ("library, weights", "x.pth: no such weights file"),
        ("library, classes", "names.txt: line 3 is empty, and each line is a class"),
        ("no library", "--model mobilenetv2: give timm/NAME or torchvision/NAME"),
        ("no onnx", "names.txt: line 3 is empty"),
        ("run", "none.yaml"),
        ("run, packaged", "dmeo: no such recipe file, nor a packaged recipe. Did you mean demo?"),
        ("run, seeds", "'x' is no seed"),
        ("run, key", "train.epochs"),
        ("dry run", "none.yaml"),
        ("train", "none.yaml"),
        ("distill", "none.yaml"),
        ("distill, key", "=3"),
        ("distill, seeds", "none.yaml"),
        ("evaluate", "none.yaml"),
        ("evaluate, student", "none.safetensors: no such checkpoint"),
        ("inspect", "text.safetensors: damaged or not a safetensors file"),
        ("evaluate, teacher", "text.safetensors: damaged or not a safetensors file"),
        ("study", "none.yaml"),
        ("study, key", "epochs"),
    ],
)
def test_mistakes_are_told_before_torch_is_imported(told, case, message):
    code, said, torch_imported = told[case]
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not torch_imported
