"""The bundle explains itself: its README says what is there, and its script labels a photograph without edgedistill."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgedistill import runtime
from edgedistill.export.documents import with_documents
from edgedistill.export.example_script import example_artifact, example_script
from edgedistill.export.lineage import own_lineage
from edgedistill.runtime.bundle import describe_file, encode_manifest, expected_labels, open_bundle
from edgedistill.runtime.metrics import evaluate, sigmoid
from edgedistill.runtime.preprocess import load, normalize
from edgedistill.runtime.targets import Target
from edgedistill.runtime.tensors import BatchRange

# The script, where neither edgedistill nor torch can be imported.
ALONE = """
import runpy, sys
for name in ("edgedistill", "torch", "msgspec"):
    sys.modules[name] = None
path, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_path(path, run_name="__main__")
"""


def labels_of(script: Path, *arguments: object) -> dict[str, str]:
    """What the script prints, run in a folder of its own."""
    command = [sys.executable, "-c", ALONE, str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=script.parent.parent)
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ") for line in done.stdout.splitlines())


def predicted(root: Path, artifact: str, photo: Path) -> dict[str, str]:
    with runtime.load(root, name=artifact) as predictor:
        return {name: f"{value:.2f}" for name, value in predictor.predict(photo)[0].labels.items()}


def test_the_script_gives_the_labels_that_the_runtime_gives(exported):
    root = exported[0].root
    script, sample = root / "example.py", root / exported[0].manifest.selftest[0].file.path
    assert len(script.read_text().splitlines()) < 35
    name = re.search('== "([^"]*)"', script.read_text())[1]
    assert name == "onnxruntime-cpu-fp32"
    expected = predicted(root, name, sample)
    assert expected
    assert labels_of(script) == expected
    other = root / exported[0].manifest.selftest[1].file.path
    assert labels_of(script, other) == predicted(root, name, other)


@pytest.mark.parametrize("name", ["openvino-cpu-fp32", "openvino-cpu-bf16"])
def test_a_script_for_another_backend_gives_its_labels(exported, tmp_path, name):
    bundle = exported[0]
    (artifact,) = [one for one in bundle.manifest.artifacts if one.name == name]
    text = example_script(bundle.manifest, artifact).replace("Path(__file__).parent", f"Path({str(bundle.root)!r})")
    script = tmp_path / "folder" / "example.py"
    script.parent.mkdir()
    script.write_text(text)
    photo = bundle.root / bundle.manifest.selftest[0].file.path
    assert labels_of(script).keys() == predicted(bundle.root, name, photo).keys()


@pytest.mark.parametrize(("resize", "input"), [("squash", "float32_nchw"), ("center_crop", "uint8_nhwc")])
def test_the_script_makes_the_pixels_that_the_runtime_makes(exported, resize, input):
    manifest = exported[0].manifest
    made = msgspec.structs.replace(manifest.preprocessing, resize=resize, interpolation="bicubic")
    other = msgspec.structs.replace(manifest, preprocessing=made, input=input)
    text = example_script(other, example_artifact(manifest))
    before, _, _ = text[text.index("image = ") :].partition("session")
    photo = exported[0].root / manifest.selftest[1].file.path
    found = {"np": np, "Image": Image, "ImageOps": __import__("PIL.ImageOps").ImageOps, "photo": photo}
    exec(before, found)
    pixels = load(photo, made)[None]
    expected = pixels if input == "uint8_nhwc" else normalize(pixels, made)
    np.testing.assert_allclose(found["batch"], expected, atol=1e-5)
    assert found["batch"].dtype == expected.dtype


def test_the_readme_says_what_is_there(exported):
    bundle = exported[0]
    text = (bundle.root / "README.md").read_text(encoding="utf-8")
    for one in bundle.manifest.artifacts:
        assert one.name.replace("_", r"\_") in text
    for said in (
        "cat, dog, tree, car, boat",
        "64 x 64 pixels",
        "python example.py",
        "selftest/00.jpg",
        "verified: no logit differs",
    ):
        assert said in text
    (label, value), *_ = expected_labels(bundle.manifest, bundle.manifest.selftest[0]).items()
    assert f"{label} {value:.2f}" in text
    assert [entry.path for entry in bundle.manifest.documents] == ["README.md", "example.py"]


def test_both_are_listed_and_travel_in_the_zip(exported):
    packed = open_bundle(exported[0].root.with_name("bundle.zip"))
    for entry in packed.manifest.documents:
        assert packed.read(entry) == (exported[0].root / entry.path).read_bytes()


def test_names_are_text_in_markdown(tiny_bundle, tmp_path):
    manifest = open_bundle(tiny_bundle).manifest
    odd = msgspec.structs.replace(manifest, name="a|b <script>", classes=("*red*", "`x`", "[a](b)", "bright"))
    with_documents(odd, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert r"# a\|b &lt;script&gt;" in text
    assert r"\*red\*, \`x\`, \[a\](b), bright" in text


def test_without_a_photograph_there_is_no_script(tiny_bundle, tmp_path):
    manifest = msgspec.structs.replace(open_bundle(tiny_bundle).manifest, selftest=())
    listed = with_documents(manifest, tmp_path).documents
    assert [entry.path for entry in listed] == ["README.md"]
    assert "example.py" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_network_alone_is_its_own_lineage(exported, student, split):
    from edgedistill.export.sources.pytorch import from_student

    dataset, logits = split
    (network,) = exported[0].manifest.lineage.networks
    assert (network.role, network.model) == ("network", "mobilenetv2")
    assert network.parameters == sum(p.numel() for p in student.model.parameters())
    assert network.mAP == pytest.approx(evaluate(sigmoid(logits), dataset.labels)["mAP"])
    assert exported[0].manifest.lineage.fingerprint == dataset.fingerprint()
    gap = logits.copy()
    gap[3] = np.nan
    assert own_lineage(from_student(student), [(dataset, gap)]).images == len(dataset) - 1


def test_the_script_of_a_litert_file_gives_the_labels_of_the_model(tiny_bundle, tmp_path, tiny_reference):
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: the extra `litert`")
    root = Path(shutil.copytree(tiny_bundle, tmp_path / "b"))
    shutil.copy(Path(__file__).parents[1] / "golden" / "litert" / "tiny.tflite", root / "model.tflite")
    manifest = open_bundle(root).manifest
    target = Target(name="litert", backend="litert", precision="fp32", batch=BatchRange(max=1))
    artifact = msgspec.structs.replace(
        manifest.artifacts[0], name="litert", target=target, files=(describe_file(root / "model.tflite", root),)
    )
    manifest = msgspec.structs.replace(manifest, artifacts=(artifact,))
    (root / "manifest.json").write_bytes(encode_manifest(with_documents(manifest, root)))
    photo = root / "selftest" / "teal.jpg"
    logits = tiny_reference(load(photo, manifest.preprocessing)[None])[0]
    expected = {
        name
        for name, value, t in zip(manifest.classes, sigmoid(logits), manifest.thresholds, strict=True)
        if value >= t
    }
    assert labels_of(root / "example.py", photo).keys() == expected != set()
