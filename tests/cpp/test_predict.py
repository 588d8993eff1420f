"""Labels and scores equal Python's, whatever the manifest says; what was altered is refused."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cpp_built import Built
from PIL import Image

from edgedistill import runtime

pytestmark = pytest.mark.slow  # a compiler builds the library first

GOLDEN_IMAGES = Path(__file__).parents[2] / "docs" / "golden_images"
POINT = {
    "thresholds": [0.61, 0.42, 0.5, 0.2],
    "temperature": 1.7,
    "rule": "best_f1",
    "ece_before": 3.0,
    "ece_after": 2.0,
    "dataset": "validation",
    "fingerprint": "ab",
    "images": 100,
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> list[Path]:
    """Of many sizes, and some of the golden ones: alpha, grey, turned, 16 bits, CMYK."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    paths = []
    for index in range(24):
        height, width = (int(side) for side in rng.integers(5, 90, 2))
        tint = rng.integers(0, 200, 3)
        image = Image.fromarray((rng.integers(0, 56, (height, width, 3)) + tint).astype(np.uint8))
        paths.append(folder / f"{index}.{('jpg', 'png')[index % 2]}")
        image.save(paths[-1])
    return [*paths, *sorted(path for path in GOLDEN_IMAGES.glob("[gopr]*") if path.suffix in (".jpg", ".png"))]


def said(built: Built, bundle: Path, images: list[Path], *options: str) -> list[dict]:
    run = built.predict(bundle, *images, *options)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return [json.loads(line) for line in run.stdout.splitlines()]


def compare(built: Built, bundle: Path, images: list[Path], name: str) -> float:
    """Labels must be the same, in the same order; the largest difference of a score."""
    lines = said(built, bundle, images, "--artifact", name)
    with runtime.load(bundle, name=name) as predictor:
        expected = predictor.predict(images)
    worst = 0.0
    for line, image, one in zip(lines, images, expected, strict=True):
        assert line["image"] == str(image)
        for key, scores in (("labels", one.labels), ("top", {} if one.labels else one.top(3))):
            assert list(line.get(key, {})) == list(scores), image
            worst = max([worst, *(abs(line[key][label] - score) for label, score in scores.items())])
    return worst


def change(bundle: Path, alter: Callable[[dict], object]) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    alter(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("resize", ["squash", "center_crop"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_labels_and_scores_are_pythons(built, golden_copy, photographs, tmp_path, resize, interpolation):
    def alter(manifest: dict) -> None:
        manifest["preprocessing"] |= {"resize": resize, "interpolation": interpolation}
        if resize == "squash":
            manifest["artifacts"][1]["operating_point"] = POINT

    bundle = golden_copy(tmp_path / "bundle", alter)
    assert compare(built, bundle, photographs, "ov-fp32") < 1e-6


def test_a_float_input_is_normalised_as_python_does(built, golden_copy, photographs, tmp_path):
    import openvino as ov
    from openvino import opset13 as ops

    rng = np.random.default_rng(1)
    image = ops.parameter([-1, 3, 16, 16], np.float32, name="image")
    means = ops.reduce_mean(image, np.array([2, 3]), keep_dims=False)
    logits = ops.matmul(means, rng.normal(0, 3, (3, 4)).astype(np.float32), transpose_a=False, transpose_b=False)
    probabilities = ops.sigmoid(logits)
    model = ov.Model([ops.result(logits), ops.result(probabilities)], [image], "float")
    for port, name in ((model.input(0), "image"), (model.output(0), "logits"), (model.output(1), "probabilities")):
        port.get_tensor().set_names({name})
    bundle = golden_copy(tmp_path / "bundle")
    ov.save_model(model, str(bundle / "openvino" / "model.fp32.xml"), compress_to_fp16=False)

    def alter(manifest: dict) -> None:
        manifest["input"] = "float32_nchw"
        manifest["inputs"][0] |= {"dtype": "float32", "shape": ["batch", 3, 16, 16]}
        manifest["preprocessing"] |= {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
        for artifact in manifest["artifacts"]:
            for entry in artifact["files"]:
                data = (bundle / entry["path"]).read_bytes()
                entry |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    change(bundle, alter)
    assert compare(built, bundle, photographs, "ov-fp32") < 2e-6


def test_threads_share_a_predictor_and_batches_are_split_and_filled(built, golden_copy, tmp_path):
    def alter(manifest: dict) -> None:
        manifest["artifacts"][1]["target"]["batch"] = {"min": 2, "typical": 2, "max": 3}

    bundle = golden_copy(tmp_path / "bundle", alter)
    image = bundle / "selftest" / "red.jpg"
    lines = built.probe("threads", f"{bundle}\n{image}\n".encode()).decode().splitlines()
    assert len(lines) == 8
    assert len(set(lines)) == 1
    with runtime.load(bundle, name="ov-fp32") as predictor:
        assert list(json.loads(lines[0])["labels"]) == list(predictor.predict(image)[0].labels)


def test_the_artifact_is_chosen_by_the_manifest(built, golden_copy, tmp_path):
    def alter(manifest: dict) -> None:
        manifest["artifacts"][1]["target"]["gates"] = {"max_map_drop": 0.5}

    first = built.predict(golden_copy(tmp_path / "first"), "--selftest").stdout
    assert first.startswith("ov-fp32: passed")
    other = built.predict(golden_copy(tmp_path / "other", alter), "--selftest").stdout
    assert other.startswith("ov-bf16: passed")


def test_a_wrong_graph_fails_the_self_test(built, golden_copy, tmp_path):
    def alter(manifest: dict) -> None:
        manifest["selftest"][1]["logits"][2] += 0.01

    run = built.predict(golden_copy(tmp_path / "bundle", alter), "--selftest", "--artifact", "ov-fp32")
    assert run.returncode == 1
    assert run.stdout.startswith("ov-fp32: failed: ")


def refused(built: Built, *arguments: object) -> str:
    run = built.predict(*arguments)
    assert run.returncode == 1, run.stdout
    assert run.stderr.count("\n") == 1, run.stderr
    assert "terminate" not in run.stderr
    return run.stderr


def flipped(data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("name", ["openvino/model.fp32.xml", "openvino/model.fp32.bin", "selftest/red.jpg"])
def test_a_file_that_was_altered_is_refused(built, golden_copy, tmp_path, name):
    bundle = golden_copy(tmp_path / "bundle")
    path = bundle / name
    whole = path.read_bytes()
    arguments = (bundle, "--selftest", "--artifact", "ov-fp32")
    for data, words in (
        (flipped(whole), "SHA-256 differs"),
        (whole[:-1], "truncated"),
        (whole + b"x", f"has more than {len(whole)} bytes"),
        (b"", "truncated"),
    ):
        path.write_bytes(data)
        assert words in refused(built, *arguments)
    path.unlink()
    assert f"{path}: is missing" in refused(built, *arguments)
    outside = tmp_path / "outside"
    outside.write_bytes(whole)
    path.symlink_to(outside)
    assert "is a link" in refused(built, *arguments)
    path.unlink()
    path.mkdir()
    assert "is not a regular file" in refused(built, *arguments)


def test_a_path_out_of_the_bundle_is_refused(built, golden_copy, tmp_path):
    bundle = golden_copy(tmp_path / "bundle")
    outside = tmp_path / "outside.xml"
    shutil.copyfile(bundle / "openvino" / "model.fp32.xml", outside)
    for path in ("../outside.xml", str(outside), "openvino/../../outside.xml", "", ".", "a//b", "..\\outside.xml"):
        change(bundle, lambda manifest, path=path: manifest["artifacts"][1]["files"][0].update(path=path))
        assert "leads out of the bundle" in refused(built, bundle, "--selftest")


def test_files_that_are_no_graph_are_refused_in_a_line(built, golden_copy, tmp_path):
    bundle = golden_copy(tmp_path / "bundle")
    path = bundle / "openvino" / "model.fp32.xml"
    whole = path.read_bytes()
    for data in (b"<net/>", whole[: len(whole) // 2], whole.replace(b'"logits"', b'"lodges"'), b"\0" * 100, b""):
        path.write_bytes(data)
        entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

        def alter(manifest: dict, entry: dict = entry) -> None:
            for artifact in manifest["artifacts"][1:3]:
                artifact["files"][0].update(entry)

        change(bundle, alter)
        assert "no artifact could be run here. ov-fp32: " in refused(
            built, bundle, "--selftest", "--artifact", "ov-fp32"
        )


def test_a_name_that_is_no_text_is_told_as_python_tells_it(built, tiny_bundle, command, tmp_path):
    image = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff \xc3\xa9 .jpg"))
    shutil.copyfile(tiny_bundle / "selftest" / "red.jpg", image)
    run = built.predict(tiny_bundle, image)
    _, out, _ = command("predict", tiny_bundle, image, "--backend", "openvino", "--json")
    assert json.loads(run.stdout)["image"] == json.loads(out)["image"]
    text = image.with_suffix(".txt")
    text.write_text("no image")
    assert "\\xff \u00e9 .txt: cannot be decoded" in refused(built, tiny_bundle, text)


def test_mistakes_take_a_line(built, golden_copy, tmp_path):
    bundle = golden_copy(tmp_path / "bundle")
    image = bundle / "selftest" / "red.jpg"
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    assert "usage: predict BUNDLE IMAGE" in refused(built, bundle)
    assert "no such folder" in refused(built, tmp_path / "none", image)
    assert "not a bundle (no manifest.json)" in refused(built, tmp_path, image)
    assert f"{tmp_path / 'none.jpg'}: no such image" in refused(built, bundle, tmp_path / "none.jpg")
    assert f"{tmp_path}: is not a regular file" in refused(built, bundle, tmp_path)
    assert f"{text}: cannot be decoded (neither a JPEG nor a PNG" in refused(built, bundle, text)
    assert "holds no artifact for x; it holds ort-fp32, ov-fp32" in refused(built, bundle, image, "--artifact", "x")
    said = refused(built, bundle, image, "--artifact", "ort-fp32")
    assert "ort-fp32: cannot run here: this program was built without the backend onnxruntime" in said
    assert "trt-fp16: not in the bundle: tensorrt_rtx is not installed" in refused(
        built, bundle, image, "--artifact", "trt-fp16"
    )
    assert "--threads 0: needs a number above 0" in refused(built, bundle, image, "--threads", "0")
    change(bundle, lambda manifest: manifest["artifacts"][1]["target"].update(device="gpu.7"))
    assert "openvino finds no device GPU.7 here" in refused(built, bundle, image, "--artifact", "ov-fp32")
