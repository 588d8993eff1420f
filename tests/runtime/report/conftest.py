"""A tiny bundle with everything that a page shows: a lineage, int8, an operating point, results of two devices."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime.bench import artifact_run
from edgedistill.runtime.bench.messages import Measure
from edgedistill.runtime.bench.plan import PLANS, BenchPlan
from edgedistill.runtime.bundle import Ancestor, Coverage, Lineage, OperatingPoint, encode_manifest, open_bundle
from edgedistill.runtime.datasets import Dataset

HOSTILE = '</script><img src="http://example.org/x" onerror="document.title=1">'
CLASSES = ("red", HOSTILE, "blue", "bright")
OTHER = "another-board-aarch64"


def photographs(reference, count: int) -> Dataset:
    """Flat noisy images whose labels mostly follow the model."""
    rng = np.random.default_rng(0)
    tints = rng.integers(0, 200, (count, 1, 1, 3))
    images = (tints + rng.integers(0, 50, (count, 16, 16, 3))).astype(np.uint8)
    labels = (reference(images) + rng.normal(0, 1, (count, 4)) > 0).astype(np.int8)
    return Dataset("flat", CLASSES, tuple(map(str, range(count))), list(images), labels)


def with_everything(root: Path, data: Dataset) -> Path:
    """The manifest of a tiny bundle, with what only an export of a whole chain knows."""
    manifest = open_bundle(root).manifest
    first, *others, last = manifest.artifacts
    networks = (
        Ancestor(role="teacher", model="timm/resnet50", taught_by="labels", parameters=23_500_000, mAP=91.5, OF1=80.0),
        Ancestor(role="baseline", model="tiny", taught_by="labels", parameters=1200, mAP=70.25),
        Ancestor(role="student", model="tiny", taught_by="mdkd", parameters=1200, mAP=75.5, OF1=60.0, CF1=59.0),
    )
    point = OperatingPoint(
        thresholds=(0.5, 0.4, 0.5, 0.4), temperature=1.25, rule="best_f1", ece_before=3.5, ece_after=1.5,
        dataset="validation", fingerprint="ab", images=100,
    )  # fmt: skip
    manifest = msgspec.structs.replace(
        manifest,
        classes=CLASSES,
        artifacts=(
            msgspec.structs.replace(first, operating_point=point),
            *others,
            msgspec.structs.replace(
                last, coverage=Coverage(runner="openvino 2026", convolutions=8, int8=6, in_float=("stem", "head"))
            ),
        ),
        lineage=Lineage(networks=networks, dataset="flat", fingerprint=data.fingerprint(), images=len(data)),
    )
    (root / "manifest.json").write_bytes(encode_manifest(manifest))
    return root


@pytest.fixture(scope="session")
def measured(make_tiny_bundle, tiny_reference, tmp_path_factory):
    """(the bundle's folder, verify's report, bench's report): real runs here, and the same again from another board."""
    data = photographs(tiny_reference, 80)
    root = with_everything(make_tiny_bundle(tmp_path_factory.mktemp("report") / "tiny"), data)
    parity = runtime.verify(root, data, reference=tiny_reference(np.stack(data.images)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PLANS, "demo", BenchPlan(queries=100, seconds=0.0, rounds=2))
        patch.setattr(artifact_run, "_WARM_UP", Measure(queries=1, seconds=0.0))
        bench = runtime.benchmark(root, artifacts=["ort-fp32", "ov-fp32"], preset="demo")
    (own,) = (root / "results").iterdir()
    shutil.copytree(own, root / "results" / OTHER)
    for path in (root / "results" / OTHER).glob("*.json"):
        run = json.loads(path.read_text())
        run["device"]["cpu"], run["device"]["gpus"] = "Another board", []
        path.write_text(json.dumps(run))
    return root, parity, bench


@pytest.fixture(scope="session")
def page(measured) -> Path:
    """The page of that bundle."""
    return runtime.write_report(measured[0])
