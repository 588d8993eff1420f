"""Core ML packages: built on any machine, read back, and evaluated as a surrogate; predicted by a Mac alone."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.shufflenetv2 import InvertedResidual

from edgedistill.cli.bundle_table import surrogate_note
from edgedistill.export import export_bundle
from edgedistill.export.builders import Built
from edgedistill.export.builders import coreml as builder_module
from edgedistill.export.child import run_in_child
from edgedistill.export.coreml.library import coremltools
from edgedistill.export.probes import make_probes
from edgedistill.export.proving import check_artifact
from edgedistill.export.sources.pytorch import from_module
from edgedistill.export.toolchains import toolchain_missing, toolchain_python
from edgedistill.runtime.backends.coreml import CoreMlBackend
from edgedistill.runtime.backends.model import Model
from edgedistill.runtime.errors import BundleError, ConfigError, MissingDependencyError
from edgedistill.runtime.preprocess import Preprocessing
from edgedistill.runtime.targets import Target
from edgedistill.runtime.tensors import BatchRange, TensorSpec

from . import coreml_jobs as jobs

PICTURE = "coreml-apple-fp16"
BATCHES = Target(name="batches", backend="coreml", precision="fp32", batch=BatchRange(min=1, typical=2, max=5))

missing = toolchain_missing("coreml")


def needs_coreml(test):
    """Of the toolchain's environment, whose every process imports PyTorch again."""
    return pytest.mark.slow(pytest.mark.skipif(bool(missing), reason=missing or "it is here")(test))


@pytest.fixture(scope="module")
def source():
    """Two units of ShuffleNet: coremltools makes one operator of the three that shuffle channels."""
    torch.manual_seed(0)
    units = InvertedResidual(8, 16, 2), InvertedResidual(16, 16, 1)
    stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
    network = nn.Sequential(*stem, *units, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():  # maps at unit scale
        network(torch.randn(8, 3, 64, 64))
    classes = ["cat", "dog", "tree", "car", "boat"]
    return from_module(network.eval(), classes=classes, preprocessing=Preprocessing(size=(64, 64)))


@pytest.fixture(scope="module")
def bundle(source, photographs, tmp_path_factory):
    out = tmp_path_factory.mktemp("coreml") / "bundle"
    return export_bundle(source, [PICTURE, BATCHES], out, golden=photographs)


@needs_coreml
def test_it_is_built_not_run_and_its_surrogate_is_called_so(bundle, command):
    picture, batches = bundle.manifest.artifacts
    for artifact, bound in ((picture, 1.0), (batches, 1e-3)):
        assert artifact.parity is None
        assert artifact.surrogate.runner.startswith("the package's program evaluated with torch ")
        assert 0 < artifact.surrogate.max_abs_logit < bound
        if sys.platform != "darwin":
            assert artifact.status == "built_not_run"
            assert artifact.reason.startswith("Core ML predicts on Apple's systems only")
    assert picture.details["coremltools"].split(".") >= ["9"]
    code, out, _ = command("inspect", bundle.root)
    assert code == 0
    assert "Surrogate (the package's program evaluated with torch" in " ".join(out.split())


@pytest.fixture(scope="module")
def read_back(bundle):
    """What the toolchain's environment says of the saved packages, and which operators are evaluated wrongly."""
    packages = {
        artifact.name: str(bundle.root / artifact.files[0].path.partition("/Data/")[0])
        for artifact in bundle.manifest.artifacts
    }
    return run_in_child(jobs.read_back, packages, what="x", python=toolchain_python("coreml"))


@needs_coreml
def test_what_the_files_say_when_they_are_read_back(bundle, read_back):
    picture, batches = bundle.manifest.artifacts
    described = read_back["packages"]
    for artifact in (picture, batches):
        package, _, inside = artifact.files[0].path.partition(".mlpackage/")
        assert inside == "Data/com.apple.CoreML/model.mlmodel"
        assert {entry.path.removeprefix(f"{package}.mlpackage/") for entry in artifact.files} == {
            inside, "Data/com.apple.CoreML/weights/weight.bin", "Manifest.json"
        }  # fmt: skip
    assert described[PICTURE]["input"] == {"name": "image", "kind": "imageType", "shape": [64, 64], "type": "RGB"}
    assert described["batches"]["input"] == {
        "name": "image", "kind": "multiArrayType", "shape": [[1, 5], [64, 64], [64, 64], [3, 3]], "type": "FLOAT32"
    }  # fmt: skip
    for found in described.values():
        assert found["outputs"] == [["logits", "FLOAT32"], ["probabilities", "FLOAT32"]]
        assert json.loads(found["metadata"]["edgedistill.classes"]) == list(bundle.manifest.classes)
    assert picture.details["input"] == "a picture (RGB pixel buffer) 64 wide and 64 high"
    assert described[PICTURE]["weights"] == "float16"
    assert described["batches"]["weights"] == "float32"


@needs_coreml
def test_a_wrong_or_broken_program_fails_and_an_operator_that_is_not_evaluated_leaves_no_surrogate(
    bundle, source, tmp_path, monkeypatch
):
    probes = make_probes(source, np.empty((0, 64, 64, 3), np.uint8))
    made = msgspec.structs.replace(bundle.manifest.artifacts[0], surrogate=None, coverage=None)
    package = shutil.copytree(bundle.root / "coreml" / "model.fp16.b1.mlpackage", tmp_path / "copy.mlpackage")

    def checked(package=package, probes=probes):
        evaluation = builder_module._evaluated(package, toolchain_python("coreml"))
        return check_artifact(bundle, made, probes, Built((package,), "mlpackage", evaluation=evaluation))

    wrong = checked(probes=replace(probes, logits=probes.logits[:, ::-1]))
    assert (wrong.status, wrong.files) == ("failed", ())
    assert wrong.reason.startswith("the package's program, evaluated here: its logits differ")
    broken = checked(package=tmp_path / "none.mlpackage")
    assert broken.reason.startswith("the package's program, evaluated here: it cannot be evaluated: ")

    def knows_no_convolution(function, *arguments, **options):
        return run_in_child(jobs.evaluate_without, "conv", *arguments, **options)

    monkeypatch.setattr(builder_module, "run_in_child", knows_no_convolution)
    unknown = checked()
    assert (unknown.status, unknown.surrogate) == ("built_not_run", None)
    assert unknown.details["no_surrogate"] == "not evaluated: conv"
    assert surrogate_note(unknown) == "No surrogate: not evaluated: conv."


@needs_coreml
def test_every_operator_is_evaluated_as_its_own_library_defines_it(read_back):
    """Against what it infers of constants; pooling and convolution against PyTorch's own."""
    assert read_back["wrong_operators"] == []


class FakeFile:
    def __init__(self, name):
        self.name = self.label = name

    def read(self):
        return b"content"


def fake_feature(name, shape=None):
    """As coremltools' protobuf spells it: a picture of 3 by 2 pixels, or an array."""
    picture = SimpleNamespace(height=2, width=3)
    words = SimpleNamespace(Name={65568: "FLOAT32"}.get)
    array = SimpleNamespace(shape=shape, dataType=65568, ArrayDataType=words)
    kind = "imageType" if shape is None else "multiArrayType"
    type = SimpleNamespace(imageType=picture, multiArrayType=array, WhichOneof=lambda _: kind)
    return SimpleNamespace(name=name, type=type)


class FakeCoreMl:
    """No Mac is here: what the backend hands to Core ML is all that can be shown."""

    __name__, __version__ = "coremltools", "9.0"
    ComputeUnit = SimpleNamespace(CPU_ONLY="cpu alone", ALL="all")

    def __init__(self, given, outputs):
        self.models = SimpleNamespace(MLModel=self.load)
        usual = [fake_feature(name, (1, 2)) for name in ("logits", "probabilities")]
        self.spec = SimpleNamespace(description=SimpleNamespace(input=[given], output=outputs or usual))

    def load(self, path, compute_units):
        self.loaded = path, compute_units
        self.files = sorted(p.relative_to(path).as_posix() for p in Path(path).rglob("*") if p.is_file())
        return SimpleNamespace(get_spec=lambda: self.spec, predict=self.predict)

    def predict(self, feeds):
        self.fed = feeds["image"]
        return {
            name: np.zeros((len(self.fed) if isinstance(self.fed, np.ndarray) else 1, 2))
            for name in ("logits", "probabilities")
        }


FILES = ("coreml/m.mlpackage/Data/com.apple.CoreML/model.mlmodel", "coreml/m.mlpackage/Manifest.json")


def fake_backend(monkeypatch, given, batch, *, files=FILES, device="cpu", outputs=None, listed=()):
    library = FakeCoreMl(given, outputs)
    monkeypatch.setattr(CoreMlBackend, "library", classmethod(lambda cls: library))
    inputs = (TensorSpec(name="image", dtype="uint8", shape=("batch", 2, 3, 3)),)
    model = Model("m", tuple(map(FakeFile, files)), "fp16", inputs=inputs, outputs=listed, batch=batch)
    return CoreMlBackend(model, device=device), library


def test_pixels_reach_core_ml_as_its_package_takes_them(monkeypatch):
    pixels = np.arange(18, dtype=np.uint8).reshape(1, 2, 3, 3)
    backend, library = fake_backend(monkeypatch, fake_feature("image"), BatchRange(max=1))
    with backend:
        assert library.loaded[1] == "cpu alone"
        assert library.files == ["Data/com.apple.CoreML/model.mlmodel", "Manifest.json"]
        assert backend.infer(pixels)["logits"].shape == (1, 2)
    np.testing.assert_array_equal(np.asarray(library.fed), pixels[0])
    assert not Path(library.loaded[0]).exists()

    backend, library = fake_backend(monkeypatch, fake_feature("image", (1, 2, 3, 3)), BatchRange(max=4), device="all")
    assert backend.infer(pixels.repeat(3, axis=0))["probabilities"].dtype == np.float32
    assert (library.fed.shape, library.fed.dtype, library.fed.max()) == ((3, 2, 3, 3), np.float32, 17)


def test_of_outputs_without_a_listed_shape_the_manifest_s_is_taken(monkeypatch):
    listed = (
        TensorSpec(name="logits", dtype="float32", shape=("batch", 2)),
        TensorSpec(name="saliency", dtype="float32", shape=("batch", 2, "h", "w")),
    )
    given = fake_feature("image", (1, 2, 3, 3))
    outputs = [fake_feature("logits", ()), fake_feature("saliency", ()), fake_feature("other", ())]
    backend, _ = fake_backend(monkeypatch, given, BatchRange(max=4), outputs=outputs, listed=listed)
    assert backend.outputs == (*listed, TensorSpec(name="other", dtype="float32", shape=("batch", "?")))
    wrong = [fake_feature("logits", (1, 3)), *outputs[1:]]
    with pytest.raises(BundleError, match="output is logits: float32 .*the file and the manifest do not belong"):
        fake_backend(monkeypatch, given, BatchRange(max=4), outputs=wrong, listed=listed)


def test_what_core_ml_cannot_open_is_one_line(monkeypatch):
    if sys.platform != "darwin":
        with pytest.raises(MissingDependencyError, match="Apple's systems only"):
            CoreMlBackend.library()
    with pytest.raises(ConfigError, match="unknown coreml device 'tpu': one of cpu, gpu, npu, all"):
        fake_backend(monkeypatch, fake_feature("image"), BatchRange(max=1), device="tpu")
    with pytest.raises(BundleError, match=r"x\.mlpackage/\.\./\.\./evil: is no file of an \.mlpackage"):
        fake_backend(monkeypatch, fake_feature("image"), BatchRange(max=1), files=("x.mlpackage/../../evil",))


def test_libraries_whose_models_it_could_convert_too_are_not_imported(tmp_path, monkeypatch):
    looks = "try:\n    import sklearn\n    FOUND = True\nexcept ImportError:\n    FOUND = False\n"
    (tmp_path / "coremltools.py").write_text(looks)
    (tmp_path / "sklearn.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("coremltools", "sklearn"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())  # so that what the test imports goes with it
        del sys.modules[name]
    assert not coremltools().FOUND
    import sklearn

    assert sklearn.__file__ == str(tmp_path / "sklearn.py")
