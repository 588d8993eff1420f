"""A model file without a bundle: what its graph does not say comes from options."""

import hashlib
import json
import shutil

import onnx as onnx_library
import pytest

from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.model_file import load_file
from edgedistill.runtime.preprocess import IMAGENET_STD, Preprocessing


@pytest.fixture
def onnx(tiny_bundle, tmp_path):
    return shutil.copy(tiny_bundle / "onnx" / "model.fp32.onnx", tmp_path / "model.onnx")


@pytest.fixture
def xml(tiny_bundle, tmp_path):
    shutil.copy(tiny_bundle / "openvino" / "model.fp32.bin", tmp_path / "model.bin")
    return shutil.copy(tiny_bundle / "openvino" / "model.fp32.xml", tmp_path / "model.xml")


@pytest.fixture
def classes(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("red\ngreen\nblue\nbright\n")
    return path


@pytest.mark.parametrize("file", ["onnx", "xml"])
def test_it_says_what_the_bundle_says(command, tiny_bundle, classes, file, request):
    path = request.getfixturevalue(file)
    photo = tiny_bundle / "selftest" / "teal.jpg"
    backend = {"onnx": "onnxruntime", "xml": "openvino"}[file]
    code, out, err = command(
        "predict", path, photo, "--classes", classes, "--threads", 1, "--threshold", 0, "--json"
    )  # fmt: skip
    assert code == 0, err
    expected = command("predict", tiny_bundle, photo, "--backend", backend, "--precision", "fp32", "--top", 4, "--json")
    assert json.loads(out)["labels"] == pytest.approx(json.loads(expected[1])["labels"], abs=1e-6)


def test_classes_are_numbers_without_names(command, onnx, tiny_bundle):
    code, out, err = command("predict", onnx, tiny_bundle / "selftest" / "red.jpg", "--json")
    assert code == 0
    assert next(iter(json.loads(out)["labels"])) == "0"
    assert err == f"{onnx}: names no classes, so that they are numbers: --classes FILE names them.\n"


def test_options_reach_load_file(command, onnx, classes, tiny_bundle, monkeypatch):
    given = {}

    def load_file(path, **arguments):
        given.update(arguments)
        return real(path, classes=arguments["classes"])

    from edgedistill import runtime

    real = runtime.load_file
    monkeypatch.setattr(runtime, "load_file", load_file)
    options = (
        "--size 224x320 --mean 0.5 --std 0.1,0.2,0.3 --resize center_crop --interpolation bicubic "
        "--gives probabilities --threshold 0.25 --backend onnxruntime --precision fp32 --threads 2 --device cpu "
        "--decode reduced"
    )
    code, _, err = command(
        "predict", onnx, tiny_bundle / "selftest" / "red.jpg", "--classes", classes, *options.split()
    )
    assert code == 0, err
    assert given == {
        "classes": classes,
        "size": (224, 320),
        "mean": (0.5, 0.5, 0.5),
        "std": (0.1, 0.2, 0.3),
        "resize": "center_crop",
        "interpolation": "bicubic",
        "gives": "probabilities",
        "threshold": 0.25,
        "backend": "onnxruntime",
        "precision": "fp32",
        "threads": 2,
        "device": "cpu",
        "decode": "reduced",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--classes {classes} --size 16", "--classes, --size: for a model file alone; {bundle} is none"),
        ("--mean 0.5", "--mean: for a model file alone"),
        ("--threshold 0.5", "--threshold: for a model file alone"),
    ],
)
def test_a_bundle_says_it_itself(command, tiny_bundle, classes, arguments, message):
    given = arguments.format(classes=classes).split()
    code, _, err = command("predict", tiny_bundle, "photo.jpg", *given)
    assert (code, err.count("\n")) == (2, 1)
    assert message.format(bundle=tiny_bundle) in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--size 0", "--size 0: each side needs 1 to 16384 pixels"),
        ("--size 16x", "--size 16x: give pixels"),
        ("--size 1x2x3", "--size 1x2x3: give pixels"),
        ("--size 32", "its graph takes 16x16 pixels, not the size 32"),
        ("--mean 1,2", "--mean 1,2: give one number, or three"),
        ("--mean nan", "--mean nan: give one number, or three"),
        ("--std 0", "--std 0: needs numbers above 0"),
        ("--std -1,1,1", "--std -1,1,1: needs numbers above 0"),
        ("--std x", "--std x: give one number, or three"),
        ("--artifact ort-fp32", "--artifact ort-fp32: {onnx} is a model file"),
        ("--backend openvino", "openvino does not open .onnx files"),
        ("--classes nowhere.txt", "nowhere.txt: no such file"),
        ("--require-signature ed25519:x", "{onnx}: is no bundle, so nobody can have signed it"),
    ],
)
def test_impossible_options_are_one_line(command, onnx, tiny_bundle, arguments, message):
    code, _, err = command("predict", onnx, tiny_bundle / "selftest" / "red.jpg", *arguments.split())
    assert (code, err.count("\n")) == (2, 1)
    assert message.format(onnx=onnx) in err


FACTS = {
    "edgedistill.classes": ["red", "green", "blue", "bright"],
    "edgedistill.preprocessing": {"size": [16, 16], "resize": "center_crop", "later": 1},
    "edgedistill.thresholds": [0.0, 0.0, 0.0, 1.0],
    "edgedistill.of_a_later_version": {},
}


def say(path, facts):
    """Write metadata into an ONNX file, as anybody can."""
    model = onnx_library.load(path)
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
    onnx_library.helper.set_model_props(model, texts | {"author": "someone"})
    onnx_library.save(model, path)


def test_what_the_file_says_of_itself_counts_until_it_is_overruled(command, onnx, tiny_bundle, classes):
    say(onnx, FACTS)
    photo = tiny_bundle / "selftest" / "red.jpg"
    _, out, err = command("predict", onnx, photo, "--json")
    assert set(json.loads(out)["labels"]) == {"red", "green", "blue"}
    assert err.count("\n") == 1
    assert "its thresholds are those of the network that was exported" in err
    assert command("predict", onnx, photo, "--threshold", 0)[2] == ""
    assert load_file(onnx).manifest.preprocessing == Preprocessing(size=(16, 16), resize="center_crop")
    classes.write_text("one\ntwo\nthree\nfour\n")
    out = command("predict", onnx, photo, "--classes", classes, "--threshold", 0, "--json")[1]
    assert set(json.loads(out)["labels"]) == {"one", "two", "three", "four"}
    given = load_file(onnx, mean=(0.5, 0.5, 0.5), resize="squash").manifest.preprocessing
    assert (given.resize, given.mean, given.std) == ("squash", (0.5, 0.5, 0.5), IMAGENET_STD)
    told = command("inspect", onnx)[1]
    assert "4 classes: red, green, blue, bright" in told
    assert "thresholds from 0 to 1; its thresholds are those of the network" in told
    assert json.loads(command("inspect", onnx, "--json")[1])["says"]["classes"] == FACTS["edgedistill.classes"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("classes", ["a", "b", "c"], "holds 3 class names, and its graph gives 4 scores"),
        ("classes", ["a", "a", "b", "c"], "`classes` holds 'a' twice"),
        ("classes", ["a", "b", "c", "\n"], "`classes` holds an empty name"),
        ("classes", ["a", "b", "c", "d\u001b[2J"], r"the name 'd\x1b[2J' holds line ends or control"),
        ("classes", "no JSON", "edgedistill.* is damaged or not ours"),
        ("classes", "[" * 100_000, "edgedistill.* is damaged or not ours"),
        ("classes", {"a": 1}, "edgedistill.* is damaged or not ours (Expected `array`"),
        ("thresholds", [0.5, 0.5, 0.5], "holds 3 thresholds, and its graph gives 4 scores"),
        ("thresholds", [0.5, 0.5, 0.5, 2], "is 2, not within 0 and 1"),
        ("preprocessing", {"size": [32, 32]}, "takes 32x32 pixels, and its graph takes 16x16"),
        ("preprocessing", {"size": [16, 16], "std": [0, 1, 1]}, "`preprocessing.std` must be above 0"),
        ("preprocessing", {"size": [16, 16], "resize": "stretch"}, "Invalid enum value 'stretch'"),
        ("input", '"float32_nchw"', "takes float32_nchw, and its graph takes uint8_nhwc"),
        ("schema_version", 2, "of schema 2, this edgedistill reads 1"),
    ],
)
def test_metadata_that_cannot_be_true_is_one_line(command, onnx, tiny_bundle, key, value, message):
    say(onnx, {f"edgedistill.{key}": value})
    code, _, err = command("predict", onnx, tiny_bundle / "selftest" / "red.jpg")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {onnx}: ")
    assert message in err


@pytest.mark.parametrize("file", ["onnx", "xml"])
def test_inspect_says_what_it_takes_and_gives(command, file, request):
    path = request.getfixturevalue(file)
    code, out, err = command("inspect", path)
    assert code == 0, err
    assert hashlib.sha256(path.read_bytes()).hexdigest() in out
    assert "16, 16, 3" in out
    assert "precision fp32" in out
    facts = json.loads(command("inspect", path, "--json")[1])
    assert [(spec["name"], spec["dtype"]) for spec in facts["inputs"]] == [("image", "uint8")]
    assert [spec["name"] for spec in facts["outputs"]] == ["logits", "probabilities"]
    assert facts["files"][0]["bytes"] == path.stat().st_size
    assert [entry["path"] for entry in facts["files"]] == {
        "onnx": ["model.onnx"],
        "xml": ["model.xml", "model.bin"],
    }[file]
    assert facts["effective"]["precision"] == "fp32"


def test_inspect_of_what_is_no_model(command, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    code, _, err = command("inspect", tmp_path / "model.onnx")
    assert (code, err.count("\n")) == (2, 1)
    assert "model.onnx" in err
    code, _, err = command("inspect", tmp_path / "nowhere.onnx")
    assert code == 2
    assert "nowhere.onnx: no such file" in err


@pytest.mark.parametrize("size", ["9999999999", "0", "20000", "224x16385", "9" * 5000])
def test_sizes_without_sense_are_one_line(command, onnx, tiny_bundle, size):
    code, _, err = command("predict", onnx, tiny_bundle / "selftest" / "red.jpg", "--size", size)
    assert code == 2
    assert err.startswith(f"error: --size {size[:900]}")
    assert err.endswith(": each side needs 1 to 16384 pixels, as in --size 224.\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 16385}, "size 16385: each side needs 1 to 16384"),
        ({"size": (224, 0)}, r"size \(224, 0\): each side"),
        ({"threshold": 1.5}, r"threshold 1.5: needs a probability"),
        ({"threshold": float("nan")}, r"threshold nan: needs a probability"),
        ({"std": (1.0, 0.0, 1.0)}, r"std .*: needs finite numbers above 0"),
        ({"std": (1.0, float("inf"), 1.0)}, r"std .*: needs finite numbers above 0"),
        ({"mean": (0.5, float("nan"), 0.5)}, r"mean .*: needs finite numbers"),
        ({"precision": "nonsense"}, r"unknown precision 'nonsense': one of fp32"),
    ],
)
def test_load_file_refuses_what_has_no_sense(onnx, given, message):
    with pytest.raises(ConfigError, match=message):
        load_file(onnx, **given)


@pytest.mark.parametrize("name", ["predict", "bench"])
def test_an_unknown_precision_of_a_model_file_is_a_mistake(command, onnx, name):
    more = ["x.jpg"] if name == "predict" else []
    code, _, err = command(name, onnx, *more, "--precision", "nonsense")
    assert code == 2
    assert "unknown precision 'nonsense': one of fp32, " in err
