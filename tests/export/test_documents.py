"""The bundle explains itself: its README says what is there, and its script labels a photograph without edgedistill."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image, ImageOps

from edgedistill import runtime
from edgedistill.export import from_onnx
from edgedistill.export.documents import with_documents
from edgedistill.export.example_script import example_script
from edgedistill.export.lineage import own_lineage
from edgedistill.export.sources.pytorch import from_student
from edgedistill.runtime.bundle import (
    Bundle,
    describe_file,
    encode_manifest,
    expected_labels,
    open_bundle,
    zip_bundle,
)
from edgedistill.runtime.metrics import evaluate, sigmoid
from edgedistill.runtime.preprocess import Preprocessing, load, normalize
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


@pytest.fixture(scope="module")
def documented(make_tiny_bundle, tmp_path_factory) -> Bundle:
    """A bundle with its documents; as `export` writes them last of all, without what costs time before."""
    root = make_tiny_bundle(tmp_path_factory.mktemp("documented") / "b")
    (root / "manifest.json").write_bytes(encode_manifest(with_documents(open_bundle(root).manifest, root)))
    return open_bundle(root)


def test_the_script_gives_the_labels_that_the_runtime_gives(documented):
    root, script = documented.root, documented.root / "example.py"
    assert len(script.read_text().splitlines()) < 35
    assert '== "ort-fp32"' in script.read_text()
    expected = predicted(root, "ort-fp32", root / "selftest" / "red.jpg")
    assert labels_of(script) == expected != {}
    teal = root / "selftest" / "teal.jpg"
    assert labels_of(script, teal) == predicted(root, "ort-fp32", teal) != expected


@pytest.mark.parametrize("name", ["ov-fp32", "ov-bf16"])
def test_a_script_for_another_backend_gives_its_labels(documented, tmp_path, name):
    artifact = next(one for one in documented.manifest.artifacts if one.name == name)
    text = example_script(documented.manifest, artifact)
    script = tmp_path / "folder" / "example.py"
    script.parent.mkdir()
    script.write_text(text.replace("Path(__file__).parent", f"Path({str(documented.root)!r})"))
    assert labels_of(script).keys() == predicted(documented.root, name, documented.root / "selftest" / "red.jpg").keys()


@pytest.mark.parametrize(
    ("resize", "input", "least"),
    [("squash", "float32_nchw", 1), ("center_crop", "uint8_nhwc", 1), ("center_crop", "float32_nchw", 3)],
)
def test_the_script_makes_the_pixels_that_the_runtime_makes(documented, resize, input, least):
    manifest = documented.manifest
    made = Preprocessing(size=(12, 20), resize=resize, interpolation="bicubic")
    other = msgspec.structs.replace(manifest, preprocessing=made, input=input)
    artifact = manifest.artifacts[0]
    target = msgspec.structs.replace(artifact.target, batch=BatchRange(min=least, typical=least, max=4))
    text = example_script(other, msgspec.structs.replace(artifact, target=target))
    before, _, _ = text[text.index("image = ") :].partition("session")
    photo = documented.root / "selftest" / "teal.jpg"
    found = {"np": np, "Image": Image, "ImageOps": ImageOps, "photo": photo}
    exec(before, found)
    pixels = load(photo, made)[None]
    expected = pixels if input == "uint8_nhwc" else normalize(pixels, made)
    np.testing.assert_allclose(found["batch"], expected.repeat(least, axis=0), atol=1e-5)
    assert found["batch"].dtype == expected.dtype


def test_the_readmes_python_gives_the_labels_of_a_photograph(documented, monkeypatch, capsys):
    text = (documented.root / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(documented.root)
    exec(block.replace("photo.jpg", "selftest/red.jpg"), {})
    with runtime.load(documented) as predictor:
        (found,) = predictor.predict(documented.root / "selftest" / "red.jpg")
    assert capsys.readouterr().out == f"{found.labels}\n"


def test_the_readme_says_what_is_there(documented):
    text = (documented.root / "README.md").read_text(encoding="utf-8")
    for said in ("ort-fp32", "red, green, blue, bright", "16 x 16 pixels", "python example.py", "selftest/red.jpg"):
        assert said in text
    (label, value), *_ = expected_labels(documented.manifest, documented.manifest.selftest[0]).items()
    assert f"{label} {value:.2f}" in text


def test_what_was_compared_at_export_is_told(golden_copy, tmp_path):
    manifest = open_bundle(golden_copy(tmp_path / "b")).manifest
    with_documents(manifest, tmp_path)
    parity = manifest.artifacts[0].parity
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"no logit differs by more than {parity.max_abs_logit:.1e} on {parity.images} images" in text


def test_both_are_listed_and_travel_in_the_zip(documented, tmp_path):
    packed = open_bundle(zip_bundle(documented, tmp_path / "b.zip"))
    assert [entry.path for entry in packed.manifest.documents] == ["README.md", "example.py"]
    for entry in packed.manifest.documents:
        assert packed.read(entry) == (documented.root / entry.path).read_bytes()


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


def test_a_network_alone_is_its_own_lineage(student, split):
    dataset, logits = split
    found = own_lineage(from_student(student), [split])
    (network,) = found.networks
    assert (network.role, network.model) == ("network", student.card.model.name)
    assert network.parameters == sum(p.numel() for p in student.model.parameters())
    assert network.mAP == pytest.approx(evaluate(sigmoid(logits), dataset.labels)["mAP"])
    assert (found.fingerprint, found.images) == (dataset.fingerprint(), len(dataset))
    gap = logits.copy()
    gap[3] = np.nan
    assert own_lineage(from_student(student), [(dataset, gap)]).images == len(dataset) - 1


def test_an_onnx_file_s_weights_are_counted(tiny_bundle):
    source = from_onnx(tiny_bundle / "onnx" / "model.fp32.onnx", classes=["a", "b", "c", "d"])
    assert source.parameters == 3 * 4 + 4 + 1  # weights, biases, and the scale of pixels


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
