"""`verify`'s reference, preset, bootstrap and page, as somebody types them."""

import json
import re

import numpy as np
import pytest
from PIL import Image

SIDES = 16


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """80 flat photographs, of which the tiny model's own labels are the annotations, a few flipped."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    lines = ["path,labels"]
    for n, colour in enumerate(rng.integers(10, 240, (80, 3))):
        Image.fromarray(np.broadcast_to(colour, (SIDES, SIDES, 3)).astype(np.uint8)).save(folder / f"{n:02}.png")
        shown = [name for name, level in zip(("red", "green", "blue"), colour, strict=True) if level > 120] + [
            "bright"
        ] * (n % 3 == 0)
        lines.append(f"{n:02}.png,{';'.join(shown)}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_page_preset_reference_and_bootstrap(command, make_tiny_bundle, photographs, tmp_path):
    bundle, page = make_tiny_bundle(tmp_path / "bundle"), tmp_path / "verify.html"
    asked = ["verify", bundle, "--data", photographs / "labels.csv", "-a", "ov-fp32"]
    code, out, _ = command(*asked, "--against", "onnxruntime/fp32", "--preset", 99, "--bootstrap", 400, "--page", page)
    assert code == 0
    assert "passed" in out
    assert "reference: ort-fp32 on this device" in out
    assert "preset 99: at least 99 % of the reference's mAP is kept" in out
    drop = re.search(r"drop by the paired bootstrap (\S+) \[\S+, \S+\] \(95 %, 400 resamples\)", out)
    assert abs(float(drop[1])) < 0.05  # images of one mean tie, and the two libraries round a tie each in their own way
    text = page.read_text(encoding="utf-8")
    assert "tiny: verified on labels" in text
    assert "Preset 99: at least 99 % of the reference&#x27;s mAP." in text
    code, out, _ = command(*asked, "--json")
    assert code == 5
    found = json.loads(out)["artifacts"][0]
    assert found["golden"]["verdict"] == "passed"
    assert found["flips"]["images"] == 0
    assert found["labels"]["protocol"] == "per_class"


def test_what_has_no_gate_is_told_once_with_the_way_out(command, make_tiny_bundle, photographs, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    _, out, _ = command("verify", bundle, "--data", photographs / "labels.csv")
    said = "not judged  ort-fp32, ov-fp32, ov-bf16: their deploy configs have no gate (`--preset 99` is one)"
    assert out.splitlines().count(said) == 1
    assert out.count("no gate") == 1


def test_an_artifact_that_says_something_else_is_named_with_its_images_and_classes(
    command, make_tiny_bundle, photographs, tmp_path
):
    bundle = make_tiny_bundle(tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    point = {
        "thresholds": [0.5, 0.5, 0.5, 0.95],
        "temperature": 1.0,
        "rule": "0.5",
        "ece_before": 1.0,
        "ece_after": 1.0,
    }
    manifest["artifacts"][1]["operating_point"] = point | {"dataset": "v", "fingerprint": "ab", "images": 9}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    page = tmp_path / "verify.html"
    code, out, _ = command("verify", bundle, "--data", photographs / "labels.csv", "-a", "ov-fp32", "--page", page)
    assert code == 5
    assert "ov-fp32: " in out
    assert "images with another label: 0 gained, " in out
    assert ".png -bright" in out
    assert "classes: bright +0 -" in out
    assert "− bright" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--preset", "90"], 2, "'90' is not one of '99', '99.9'"),
        (
            ["--against", "onnx/int8"],
            2,
            "holds no artifact 'onnx/int8'; it holds ort-fp32, ov-fp32, ov-bf16: give one's name",
        ),
        (
            ["--against", "openvino/fp32", "--bootstrap", "5"],
            2,
            "5 resamples are too few for an interval: take 400 or more",
        ),
    ],
)
def test_mistakes_take_a_line(command, tiny_bundle, photographs, options, code, message):
    found, _, err = command("verify", tiny_bundle, "--data", photographs / "labels.csv", *options)
    assert found == code
    assert message in " ".join(err.replace("│", " ").split())
