"""The field check on a model whose answers are known: drift where there is one, agreement, and what to label."""

import json
import os
import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from edgedistill import runtime
from edgedistill.runtime.bundle import Bundle, Observed, describe_file, latest_run, open_bundle
from edgedistill.runtime.bundle.observed import quantiles
from edgedistill.runtime.datasets import open_dataset
from edgedistill.runtime.errors import BundleError, ConfigError, DataError
from edgedistill.runtime.field import CheckReport, check_page
from edgedistill.runtime.field.label_list import write_label_list
from edgedistill.runtime.metrics import sigmoid

LEVELS = (20, 200)  # of a channel's mean


def photographs(count, seed, low=LEVELS[0], high=LEVELS[1]):
    """Flat images, uint8 (N, 16, 16, 3), of any colour between two levels."""
    means = np.random.default_rng(seed).integers(low, high, (count, 1, 1, 3))
    return np.broadcast_to(means, (count, 16, 16, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def bundle(make_tiny_bundle, tiny_reference, tmp_path_factory) -> Path:
    """A tiny bundle whose `ort-fp32` recorded its scores of 500 photographs."""
    root = make_tiny_bundle(tmp_path_factory.mktemp("field") / "tiny")
    logits = tiny_reference(photographs(500, seed=1))
    path = root / "reference" / "observed" / "ort-fp32.logits.npy"
    path.parent.mkdir(parents=True)
    np.save(path, quantiles(logits))
    opened = open_bundle(root)
    shown = sigmoid(logits) >= np.array(opened.manifest.thresholds)
    observed = Observed(
        dataset="validation",
        fingerprint="ab",
        images=500,
        logits=describe_file(path, root),
        reported=tuple(map(float, shown.mean(axis=0))),
    )
    first, *others = opened.manifest.artifacts
    manifest = msgspec.structs.replace(
        opened.manifest, artifacts=(msgspec.structs.replace(first, observed=observed), *others)
    )
    (root / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return root


@pytest.fixture
def folder(tmp_path) -> Path:
    """120 photographs like those of before, some of them in a folder below."""
    root = tmp_path / "photos"
    (root / "more").mkdir(parents=True)
    for n, pixels in enumerate(photographs(120, seed=2)):
        Image.fromarray(pixels).save(root / ("more" if n % 2 else "") / f"{n:03}.png")
    return root


def test_photographs_like_those_of_before_show_no_drift(bundle):
    """Of 20 checks at 5 % one is an alarm by chance; Holm and the discreteness of small samples make it fewer."""
    alarms = sum(bool(runtime.check(bundle, list(photographs(60, seed)), to_label=0).drift.found) for seed in range(20))
    assert alarms <= 3


def test_images_are_taken_as_a_predictor_takes_them(bundle, folder):
    pixels, file = photographs(2, seed=3), folder / "000.png"
    for images, count in ((pixels, 2), (pixels[0], 1), (file.read_bytes(), 1), (Image.open(file), 1), ([file], 1)):
        report = runtime.check(bundle, images, to_label=1)
        assert (report.images, report.photographs) == (count, f"{count} image" + "s" * (count > 1))
        assert "<img" in check_page(report, images)


def test_photographs_of_another_kind_do(bundle, folder):
    reddish = photographs(120, seed=3, high=195) + np.array([60, 0, 0], np.uint8)
    report = runtime.check(bundle, list(reddish))
    found = {one.name: one for one in report.drift.found}
    assert found["red"].higher
    assert not found["green"].higher
    assert found["red"].reported_now.estimate > found["red"].reported_then
    assert found["red"].distance.low > 0
    assert any("red (higher)" in sentence for sentence in report.conclusions)
    same = runtime.check(bundle, folder)
    assert not same.drift.found
    assert any("would not be seen" in sentence for sentence in same.conclusions)
    assert 0.1 < same.drift.visible < 0.3


def test_limits_are_judged_and_without_any_nothing_is(bundle, folder):
    assert runtime.check(bundle, folder).verdict == "not judged"
    assert runtime.check(bundle, folder, max_drift=0.5).verdict == "passed"
    assert runtime.check(bundle, folder, max_drift=0.1).verdict == "undecided"
    dark = list(photographs(120, seed=4, low=0, high=40))
    report = runtime.check(bundle, dark, max_drift=0.3)
    assert report.verdict == "failed"
    assert "the largest distance of a class's scores from the recorded ones" in report.gates[0].sentence


def test_two_artifacts_of_one_network_agree(bundle, folder):
    report = runtime.check(bundle, folder, artifact="ort-fp32", against="openvino/fp32", max_changed=5)
    agreement = report.agreement
    assert agreement.source == "ov-fp32 on this device"
    assert (agreement.images, agreement.same.estimate, report.verdict) == (120, 1.0, "passed")
    assert agreement.same.low < 1.0
    # Photographs of one colour tie, and the two libraries round a tie each in their own way.
    assert all(one.rank.estimate == pytest.approx(1.0, abs=1e-3) for one in agreement.classes)
    assert not agreement.flipped


def test_an_artifact_is_checked_that_is_not_the_reference(bundle, folder):
    assert runtime.check(bundle, folder, against="onnx/fp32").artifact == "ov-fp32"
    assert runtime.check(bundle, folder, against="openvino/fp32").artifact == "ort-fp32"
    with pytest.raises(ConfigError, match="is the artifact that is checked"):
        runtime.check(bundle, folder, against="onnx/fp32", backend="onnxruntime")


def test_scores_from_elsewhere_are_compared_where_there_are_some(bundle, folder, tiny_reference, tmp_path):
    ids = runtime.check(bundle, folder, to_label=500).to_label
    names = sorted({one.id for one in ids})[:50]
    pixels = np.stack([np.asarray(Image.open(folder / name)) for name in names])
    theirs = sigmoid(tiny_reference(pixels))
    theirs[:, 1] = 1 - theirs[:, 1]  # green is inverted
    file = tmp_path / "scores.csv"
    rows = [f"{n},{','.join(f'{p:.6f}' for p in row[::-1])}" for n, row in zip(names, theirs, strict=True)]
    file.write_text("id,bright,blue,green,red\n" + "\n".join(rows) + "\n")
    agreement = runtime.check(bundle, folder, against=file).agreement
    assert agreement.images == 50
    assert agreement.source == "the scores in scores.csv, which lacks 70 of the photographs"
    assert [one.name for one in agreement.flipped] == ["green"]
    green = agreement.classes[1]
    assert green.rank.estimate == pytest.approx(-1.0, abs=1e-3)  # the file has six digits
    elsewhere = [row if n == 0 else f"/home/pi/photos/{row}" for n, row in enumerate(file.read_text().splitlines())]
    file.write_text("\n".join(elsewhere))
    assert runtime.check(bundle, folder, against=file, to_label=0).agreement == agreement
    ours = sigmoid(tiny_reference(pixels))[:, 1] >= 0.5
    assert (green.gained, green.lost, green.both) == (ours.sum(), (~ours).sum(), 0)


def test_what_is_in_doubt_or_in_dispute_comes_first_and_twins_do_not(bundle, tiny_reference):
    """A grey level at which `bright` is at its threshold of 0.4, twice, among photographs that leave no doubt."""
    sure = np.broadcast_to(np.array([250, 250, 0], np.uint8), (30, 16, 16, 3))
    pixels = np.concatenate([sure, sure[:3]])
    grey = min(range(256), key=lambda g: abs(sigmoid(tiny_reference(np.full((1, 16, 16, 3), g, np.uint8)))[0, 3] - 0.4))
    pixels[30:32] = grey
    pixels[32] = grey - 3
    report = runtime.check(bundle, list(pixels), to_label=2)
    assert [one.id for one in report.to_label] == ["30", "32"]
    (doubt,) = [label for label in report.to_label[0].doubtful if label.name == "bright"]
    assert doubt.threshold == 0.4
    assert doubt.probability == pytest.approx(0.4, abs=0.02)


def test_the_report_is_saved_reads_back_and_makes_a_page(bundle, folder, tmp_path):
    (folder / "broken.jpg").write_bytes(b"no image")
    report = runtime.check(bundle, folder, against="ov-fp32", to_label=12)
    assert latest_run(bundle, "check").decode(CheckReport) == msgspec.structs.replace(report, saved=None)
    assert [one.id for one in report.skipped] == ["broken.jpg"]
    page = check_page(report, folder)
    assert page.count("data:image/jpeg;base64,") == len(report.to_label) == 12
    assert "Scores beside the recorded ones" in page
    assert "broken.jpg" in page


def test_the_list_is_a_data_set_once_it_lies_beside_the_photographs(bundle, folder):
    report = runtime.check(bundle, folder, to_label=20)
    write_label_list(folder / "to_label.csv", report)
    data = open_dataset(folder / "to_label.csv", classes=report_classes(bundle))
    assert data.ids == tuple(one.id for one in report.to_label)
    assert [{data.classes[c] for c in np.flatnonzero(row)} for row in data.labels] == [
        set(one.labels) for one in report.to_label
    ]


def report_classes(bundle):
    return open_bundle(bundle).manifest.classes


def test_without_anything_recorded_the_frameworks_scores_serve_or_nothing_is_said(golden_copy, tiny_bundle, tmp_path):
    root = golden_copy(tmp_path / "old")
    report = runtime.check(root, list(photographs(30, seed=5)))
    assert report.drift.source.startswith("the training framework's scores of 12 images of")
    assert report.drift.embedding is None
    shutil.copytree(tiny_bundle, tmp_path / "tiny")
    bare = runtime.check(tmp_path / "tiny", list(photographs(30, seed=5)))
    assert bare.drift is None
    assert "export it again with validation images" in bare.no_drift
    assert bare.no_drift in bare.conclusions[0]


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"against": "onnx/int8"}, BundleError, "holds no artifact 'onnx/int8'"),
        ({"against": "missing.csv"}, DataError, "missing.csv"),
        (
            {"against": Path(__file__).with_name("strangers.csv")},
            DataError,
            "has scores of 'x.jpg' and others, and of none",
        ),
        (
            {"against": "ov-fp32", "artifact": "ov-fp32"},
            ConfigError,
            "is the artifact that is checked: say which other",
        ),
        ({"max_changed": 5}, ConfigError, "max_changed: say against what"),
        ({"max_drift": 3}, ConfigError, "max_drift 3: is a distance from 0 to 1"),
        ({"confidence": 1.0}, ConfigError, "confidence 1 must lie between"),
        ({"to_label": -1}, ConfigError, "to_label -1"),
        ({"artifact": "ort-int8"}, BundleError, "holds no artifact 'ort-int8'"),
    ],
)
def test_what_cannot_be_meant(bundle, folder, asked, error, message):
    with pytest.raises(error, match=message):
        runtime.check(bundle, folder, **asked)


def test_gates_on_drift_want_something_recorded(tiny_bundle, folder):
    with pytest.raises(ConfigError, match=r"max_drift: .*: the bundle recorded no outputs"):
        runtime.check(tiny_bundle, folder, max_drift=0.2)


def test_an_altered_record_is_refused(bundle, folder, tmp_path):
    shutil.copytree(bundle, tmp_path / "altered")
    file = tmp_path / "altered" / "reference" / "observed" / "ort-fp32.logits.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match="SHA-256 differs"):
        runtime.check(tmp_path / "altered", folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((0, 4), np.float32), "is empty, or holds NaN"),
        (np.full((3, 4), np.nan, np.float32), "is empty, or holds NaN"),
        (np.zeros((3, 5), np.float32), r"no float32 \(N, 4\) array"),
        (np.zeros((3, 4)), r"no float32 \(N, 4\) array"),
    ],
)
def test_a_strangers_record_is_checked(bundle, tmp_path, values, message):
    root = tmp_path / "stranger"
    shutil.copytree(bundle, root)
    path = root / "reference" / "observed" / "ort-fp32.logits.npy"
    np.save(path, values)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["artifacts"][0]["observed"]["logits"] = msgspec.to_builtins(describe_file(path, root))
    (root / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=message):
        runtime.check(root, list(photographs(3, seed=0)))


def test_the_command(command, bundle, folder, tmp_path):
    page, listed = tmp_path / "out" / "check.html", tmp_path / "list.csv"
    asked = ["check", bundle, "--images", folder, "--against", "ov-fp32", "--max-changed", 5]
    code, out, _ = command(*asked, "--page", page, "--list", listed, "--to-label", 7)
    assert code == 0
    assert "passed" in out
    assert "None of this says how good the model is" in out
    assert page.read_text(encoding="utf-8").count("<img") == 7
    assert len(listed.read_text(encoding="utf-8").splitlines()) == 8
    code, out, _ = command("check", bundle, "--images", folder, "--json")
    assert code == 5
    found = json.loads(out)
    assert found["verdict"] == "not judged"
    assert [one["name"] for one in found["drift"]["classes"]] == ["red", "green", "blue", "bright"]
    code, _, err = command("check", bundle, "--images", tmp_path / "nowhere")
    # An older rich ends a progress that never showed with an empty line.
    assert (code, err.lstrip()) == (2, f"error: {tmp_path / 'nowhere'}: no such folder.\n")


@pytest.mark.parametrize("option", ["--page", "--list"])
def test_a_folder_in_place_of_a_file_is_told_before_the_work(command, bundle, folder, tmp_path, option):
    before = len(list((bundle / "results").rglob("*check*.json")))
    code, out, err = command("check", bundle, "--images", folder, option, tmp_path)
    assert (code, out) == (2, "")
    assert f"{option} {tmp_path}: is a folder: give the name of a file in it." in err
    assert len(list((bundle / "results").rglob("*check*.json"))) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are no text")
def test_a_photograph_whose_name_is_no_text_costs_nothing(command, bundle, folder, tmp_path):
    odd = os.fsdecode(b"odd\xff.png")
    (folder / "000.png").rename(folder / odd)
    page, listed = tmp_path / "check.html", tmp_path / "list.csv"
    code, out, _ = command("check", bundle, "--images", folder, "--to-label", 120, "--json", "--page", page)
    assert code == 5
    found = json.loads(out)
    assert "odd\\xff.png" in {one["id"] for one in found["to_label"]}
    kept = latest_run(bundle, "check").decode(CheckReport)
    assert {one.id for one in kept.to_label} == {one["id"] for one in found["to_label"]}
    assert page.read_text(encoding="utf-8").count("<img") == len(found["to_label"])
    assert command("check", bundle, "--images", folder, "--list", listed)[0] == 5


def test_an_open_bundle_in_memory_is_as_good(bundle, folder):
    opened = open_bundle(bundle)
    assert isinstance(opened, Bundle)
    assert runtime.check(opened, folder, to_label=0).images == 120
