"""A hand-written bundle of a closed-form model, so that the runtime is tested without torch or a trained net."""

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime.bundle import (
    SCHEMA_VERSION,
    Artifact,
    Bundle,
    GoldenImage,
    Manifest,
    OperatingPoint,
    Provenance,
    describe_file,
)
from edgedistill.runtime.device import usable_cores
from edgedistill.runtime.preprocess import Preprocessing, load
from edgedistill.runtime.targets import Target
from edgedistill.runtime.tensors import BatchRange, TensorSpec

sys.path.insert(0, str(Path(__file__).parent))

from shared_traces import children_here, made_once, sharing_traces, traced_once  # noqa: F401

# Workers of pytest-xdist divide the cores among them and the processes that their tests start.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // int(workers))))

GOLDEN_BUNDLE = Path(__file__).parent / "golden" / "bundle_schema_1"
CLASSES = ("red", "green", "blue", "bright")
SIZE = (16, 16)
# Each class responds to the mean of its own channel, "bright" to all three.
WEIGHTS = np.array([[8, -4, -4, 3], [-4, 8, -4, 3], [-4, -4, 8, 3]], np.float32)
BIAS = np.array([0.5, 0.25, -0.25, -4.0], np.float32)


def tiny_logits(images: np.ndarray) -> np.ndarray:
    """The model in numpy: uint8 (N, H, W, 3) -> float32 (N, C)."""
    means = images.astype(np.float64).mean(axis=(1, 2)) / 255.0
    return (means @ WEIGHTS + BIAS).astype(np.float32)


def write_photographs(folder: Path) -> list[Path]:
    """Three JPEGs that need a resize: a red one, a green and blue one, a noisy grey one."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 60, (3, 30, 40, 3))
    tints = np.array([[180, 10, 10], [20, 150, 170], [120, 120, 120]])
    paths = []
    for name, pixels, tint in zip(("red", "teal", "grey"), noise, tints, strict=True):
        path = folder / f"{name}.jpg"
        Image.fromarray((pixels + tint).astype(np.uint8)).save(path, quality=92)
        paths.append(path)
    return paths


def write_tiny_bundle(root: Path) -> Path:
    """Write the bundle to `root`: `ort-fp32`, `ov-fp32` and `ov-bf16`, three golden photographs.

    The graphs are those of the golden bundle, so that it takes neither onnx nor openvino.
    """
    preprocessing = Preprocessing(size=SIZE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    onnx_path, xml_path = root / "onnx" / "model.fp32.onnx", root / "openvino" / "model.fp32.xml"
    for path in (onnx_path, xml_path, xml_path.with_suffix(".bin")):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(GOLDEN_BUNDLE / path.relative_to(root), path)
    ir = (describe_file(xml_path, root), describe_file(xml_path.with_suffix(".bin"), root))
    batch = BatchRange(max=4)
    artifacts = (
        Artifact(
            name="ort-fp32",
            target=Target(name="ort-fp32", backend="onnxruntime", precision="fp32", batch=batch),
            files=(describe_file(onnx_path, root),),
            status="verified",
        ),
        Artifact(
            name="ov-fp32",
            target=Target(name="ov-fp32", backend="openvino", precision="fp32", batch=batch),
            files=ir,
            status="verified",
        ),
        Artifact(
            name="ov-bf16",
            target=Target(name="ov-bf16", backend="openvino", precision="bf16", batch=batch),
            files=ir,
            status="verified",
        ),
    )
    golden = []
    for path in write_photographs(root / "selftest"):
        logits = tiny_logits(load(path, preprocessing)[None])[0]
        golden.append(GoldenImage(file=describe_file(path, root), logits=tuple(float(value) for value in logits)))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name="tiny",
        classes=CLASSES,
        preprocessing=preprocessing,
        input="uint8_nhwc",
        inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", *SIZE, 3)),),
        outputs=tuple(
            TensorSpec(name=name, dtype="float32", shape=("batch", len(CLASSES)))
            for name in ("logits", "probabilities")
        ),
        thresholds=(0.5, 0.5, 0.5, 0.4),
        provenance=Provenance(
            edgedistill="0.1.0", created="2026-01-01T00:00:00Z", model="tiny", checkpoint_sha256="0" * 64
        ),
        artifacts=artifacts,
        selftest=tuple(golden),
    )
    (root / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    return root


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder of this session that all workers of pytest-xdist share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def once() -> Callable[[Path, Callable[[Path], object]], Path]:
    """Let the first worker that asks make a file or folder; the others wait for it."""
    return made_once


@pytest.fixture(scope="session")
def make_tiny_bundle() -> Callable[[Path], Path]:
    """Write a fresh tiny bundle into a folder, for tests that change it."""
    return write_tiny_bundle


@pytest.fixture(scope="session")
def tiny_bundle(make_tiny_bundle, tmp_path_factory) -> Iterator[Path]:
    """One tiny bundle shared by all tests: do not write into it."""
    bundle = make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    files = sorted(bundle.rglob("*"))
    yield bundle
    assert sorted(bundle.rglob("*")) == files, "a test wrote into the bundle that all share"


@pytest.fixture(scope="session")
def at_operating_point() -> Callable[..., Bundle]:
    """A bundle, in memory, with an operating point of one artifact."""

    def change(bundle: Bundle, name: str, temperature: float, thresholds: tuple[float, ...]) -> Bundle:
        point = OperatingPoint(
            thresholds=thresholds,
            temperature=temperature,
            rule="best_f1",
            ece_before=3.0,
            ece_after=2.0,
            dataset="validation",
            fingerprint="ab",
            images=100,
        )
        artifacts = tuple(
            msgspec.structs.replace(one, operating_point=point) if one.name == name else one
            for one in bundle.manifest.artifacts
        )
        return Bundle(bundle.storage, msgspec.structs.replace(bundle.manifest, artifacts=artifacts), b"")

    return change


@pytest.fixture(scope="session")
def golden_copy() -> Callable[..., Path]:
    """Copy the golden bundle, whose manifest schema 1's first version wrote, into a folder.

    Given a function, its manifest is changed in place by that.
    """

    def copy(root: Path, change: Callable[[dict], object] | None = None) -> Path:
        shutil.copytree(GOLDEN_BUNDLE, root)
        if change is not None:
            path = root / "manifest.json"
            manifest = json.loads(path.read_text(encoding="utf-8"))
            change(manifest)
            path.write_text(json.dumps(manifest), encoding="utf-8")
        return root

    return copy


@pytest.fixture(scope="session")
def tiny_reference() -> Callable[[np.ndarray], np.ndarray]:
    """The tiny model in numpy: uint8 (N, 16, 16, 3) -> float32 logits (N, 4)."""
    return tiny_logits


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: tiny networks lose by sharing a busy machine's cores, and their number decides bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def command() -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process: exit code, stdout, stderr."""
    from edgedistill.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["edgedistill", *map(str, arguments)])
            with pytest.raises(SystemExit) as left:
                main()
        return left.value.code, out.getvalue(), err.getvalue()

    return run


def write_tints(folder: Path, *, size: tuple[int, int], noise: int, tint: int) -> None:
    """train.csv and test.csv with 48 and 12 JPEGs, every other one reddish or blueish."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 48), ("test", 12)):
        rows = ["path,labels"]
        for index in range(count):
            label = ("red", "blue")[index % 2]
            pixels = rng.integers(0, noise, (*size, 3))
            pixels[..., 0 if label == "red" else 2] += tint
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{split}{index}.jpg")
            rows.append(f"{split}{index}.jpg,{label}")
        (folder / f"{split}.csv").write_text("\n".join(rows))


@pytest.fixture(scope="session")
def tinted_photographs() -> Callable[..., None]:
    """Write a tiny CSV data set of two classes into a folder."""
    return write_tints


@pytest.fixture(scope="module")
def short_bench() -> Iterator[None]:
    """The preset `demo` ends with the inferences that a p90 takes, however fast they are, and warms up by one."""
    from edgedistill.runtime.bench import artifact_run
    from edgedistill.runtime.bench.messages import Measure
    from edgedistill.runtime.bench.plan import PLANS, BenchPlan

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PLANS, "demo", BenchPlan(queries=100, seconds=0.0, rounds=2))
        patch.setattr(artifact_run, "_WARM_UP", Measure(queries=1, seconds=0.0))
        yield


@pytest.fixture
def named_photographs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variables by which recipes find photographs and weights, naming files without content."""
    for variable in ("COCO", "COCO18", "MOBILENETV2", "SHUFFLENETV2_X0_5", "EFFICIENTNET_LITE1"):
        path = tmp_path / f"{variable}.safetensors"
        path.touch()
        monkeypatch.setenv(f"EDGEDISTILL_{variable}", str(path))
