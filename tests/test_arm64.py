"""benchmarks/arm64.py: what it decides and compares here; with -m arm64 under qemu, where it has been prepared."""

import csv
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.datasets.base import UNKNOWN
from edgedistill.runtime.errors import DataError, MissingDependencyError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import arm64
import arm64_answers as answers
import arm64_processor as processors
import arm64_record as records
from arm64_userland import Userland, appearing, refuse_unfit, userland

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "arm.md").read_text(encoding="utf-8")


@pytest.fixture
def photographs(tmp_path, tiny_bundle):
    """A .csv of the tiny bundle's own photographs."""
    path = tmp_path / "labels.csv"
    path.write_text("path,labels\nred.jpg,red\nteal.jpg,green;blue\ngrey.jpg,bright\n", encoding="utf-8")
    return path, tiny_bundle / "selftest"


def test_capabilities_have_the_names_of_the_kernel():
    old, pi5 = processors.features(0x8FB, 0), processors.features(0x119FFB, 0)
    assert old == ("fp", "asimd", "aes", "pmull", "sha1", "sha2", "crc32", "cpuid")
    assert {"asimddp", "asimdhp"} <= set(pi5)
    assert "i8mm" not in pi5
    assert {"i8mm", "bf16"} <= set(processors.features(0, 0x7F877FFF))


def test_its_cpuinfo_is_read_as_that_of_a_board():
    text = processors.cpuinfo(("fp", "asimddp"), 0xD0B, 2)
    assert text.count("processor\t: ") == 2
    assert "Features\t: fp asimddp\n" in text
    assert "CPU implementer\t: 0x41\n" in text
    assert "CPU part\t: 0xd0b\n" in text


def test_where_nothing_can_or_need_be_emulated_it_says_so():
    with pytest.raises(MissingDependencyError, match=r"is an Arm machine: nothing needs to be emulated"):
        refuse_unfit("aarch64")
    with pytest.raises(MissingDependencyError, match=r"^no-such-tool is not here: .*Debian or Ubuntu.*container"):
        refuse_unfit("x86_64", ("no-such-tool",))


def test_what_is_lacking_is_told_with_the_command_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    made = Userland(tmp_path)
    assert made.lacking().startswith("qemu's user emulation of arm64 is not here: python benchmarks/arm64.py --prepare")
    program = tmp_path / "qemu-aarch64"
    program.touch(0o755)
    assert made.qemu == program
    assert made.lacking().startswith(f"there is no Debian for arm64 in {tmp_path}: python benchmarks/arm64.py")


def test_a_cache_folder_may_have_any_name(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    made = Userland(tmp_path / "o'neil $HOME")
    made.debian.mkdir(parents=True)
    program = made.folder / "qemu" / "usr" / "bin" / "qemu-aarch64-static"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 7 0\n")
    program.chmod(0o755)
    assert processors.processor(made, "max").run(["-c", "pass"]).stdout == "7 0\n"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "made"
    with pytest.raises(FileNotFoundError), appearing(folder) as work:
        (tmp_path / "absent").rename(work / "half")
    assert list(tmp_path.iterdir()) == []
    for name in ("first", "second"):  # of two at once the first stays
        with appearing(folder) as work:
            (work / name).touch()
    assert [path.name for path in folder.iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_the_first_rows_of_a_table_are_taken_with_their_labels(photographs, tmp_path):
    (tmp_path / "work").mkdir()
    labels, paths = arm64.first_rows(*photographs, 2, tmp_path / "work")
    assert [path.name for path in paths] == ["red.jpg", "teal.jpg"]
    with labels.open(newline="", encoding="utf-8") as stream:
        assert [row["labels"] for row in csv.DictReader(stream)] == ["red", "green;blue"]
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("image\nred.jpg\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"wrong.csv: wants a column `path`"):
        arm64.first_rows(wrong, tmp_path, 2, tmp_path)


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (-4, "qemu: uncaught target signal 4", "ended by SIGILL"),
        (132, "", "ended by SIGILL"),
        (124, "not ready after 900 s", "not ready after 900 s"),
        (2, "a\nerror: no such artifact\n", "error: no such artifact"),
        (3, "", "ended with status 3"),
    ],
)
def test_how_a_process_ended_is_a_line(code, said, reason):
    assert answers.ended(subprocess.CompletedProcess([], code, "", said)) == reason


def test_a_machine_is_asked_what_a_user_would_ask_it(photographs, tiny_bundle, tmp_path):
    """This one, by the very processes that the emulated one runs."""
    (tmp_path / "work").mkdir()
    copy = arm64.copied(tiny_bundle, tmp_path / "work")
    labels, paths = arm64.first_rows(*photographs, 3, tmp_path / "work")
    asked = answers.Asked(copy, ("ort-fp32",), paths, labels, photographs[1], tmp_path / "work")
    answer = answers.ask(answers.OwnPython(), asked)["ort-fp32"]
    assert (answer.reason, answer.selftest, answer.drop) == ("", "passed", pytest.approx(0, abs=1e-6))
    assert answer.labels[0] == ("red",)
    assert answer.pixels.shape == (3, 16, 16, 3)
    assert answer.logits.shape == (3, 4)
    assert answer.effective["library"].startswith("onnxruntime")


def test_two_answers_are_compared_bit_by_bit_and_label_by_label():
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    here = answers.Answer(pixels=pixels, logits=np.float32([[1, 2], [3, 4]]), labels=[("a",), ("a", "b")], mean_ap=50.0)
    there = answers.Answer(pixels=pixels, logits=np.float32([[1, 2], [3, 3.5]]), labels=[("a",), ("c",)], mean_ap=49.5)
    found = records.row("int8", "new", {"old": there}, there, here)
    assert (found.pixels, found.logits, found.differing, found.largest) == (0, 4, 1, 0.5)
    assert (found.labels, found.photographs, found.same_bits_as, found.mean_ap_change) == (3, 1, "old", -0.5)
    failed = records.row("int8", "new", {}, answers.Answer(reason="ended by SIGILL"), here)
    assert (failed.reason, failed.logits) == ("ended by SIGILL", 0)


def test_a_mistake_is_one_line(tmp_path):
    script = [sys.executable, str(ROOT / "benchmarks" / "arm64.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EDGEDISTILL_CACHE": str(tmp_path / "cache")}
    (tmp_path / "labels.csv").touch()
    command = [*script, str(tmp_path / "absent"), "--data", str(tmp_path / "labels.csv")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "absent") in done.stderr
    assert not (tmp_path / "cache").exists()


def test_the_page_shows_the_record():
    results = records.read()
    assert records.described(results) in PAGE, "python benchmarks/arm64.py --table"
    assert records.markdown(results) in PAGE, "python benchmarks/arm64.py --table"


def test_the_record_says_what_the_page_says_of_it():
    """Whoever measures again and finds otherwise must write the page anew."""
    results = records.read()
    right = [one for one in results.rows if one.artifact != "openvino-cpu-int8"]
    assert {(one.reason, one.selftest) for one in right} == {("", "passed")}
    assert "passed" not in {one.selftest for one in results.rows if one not in right}
    assert {one.pixels for one in results.rows} == {0}
    assert {one.labels for one in right if "fp32" in one.artifact} == {0}
    assert {one.labels for one in right if one.artifact == "onnxruntime-cpu-int8"} == {1}
    limits = {one.artifact: one.from_float for one in results.here if one.from_float is not None}
    assert all(one.largest < limits[one.artifact] for one in right if one.artifact in limits)


@pytest.fixture(scope="module")
def pi5():
    """A Cortex-A76 with this very edgedistill; only where it has been prepared, since that downloads 200 MB."""
    made = userland()
    if lacking := made.lacking():
        pytest.skip(lacking)
    installed = arm64.prepared(made, "cortex-a76")
    return processors.processor(made, "cortex-a76").with_packages(installed.path)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Twenty images: real photographs where EDGEDISTILL_COCO18 names some, noise otherwise."""
    if coco18 := os.environ.get("EDGEDISTILL_COCO18"):
        folder = Path(coco18)
        return arm64.first_rows(folder / "test.csv", folder, 20, tmp_path_factory.mktemp("labels"))[1]
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    paths = tuple(folder / f"{number:02}.png" for number in range(20))
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.mark.arm64
def test_an_emulated_processor_gives_the_labels_of_this_one(pi5, seen, tmp_path):
    export = pytest.importorskip("edgedistill.export")
    classes = ("a", "b", "c", "d")
    small_network = runpy.run_path(str(ROOT / "tests" / "export" / "small_network.py"))["small_network"]
    source = export.from_onnx(small_network(tmp_path / "model.onnx"), classes=classes)
    unlabelled = np.full((len(seen), len(classes)), UNKNOWN, np.int8)
    calibration = Dataset("seen", classes, tuple(map(str, seen)), list(seen), unlabelled)
    targets = ["onnxruntime-cpu-fp32", "onnxruntime-cpu-int8", "openvino-cpu-fp32"]  # docs/arm.md: OpenVINO's int8
    export.export_bundle(source, targets, tmp_path / "bundle", golden=seen[:4], calibration=calibration)

    asked = answers.Asked(tmp_path / "bundle", tuple(targets), seen, None, tmp_path, tmp_path)
    here, there = (answers.ask(machine, asked) for machine in (answers.OwnPython(), pi5))
    found = [records.row(name, "cortex-a76", {}, there[name], here[name]) for name in targets]
    assert {(one.reason, one.selftest, one.pixels) for one in found} == {("", "passed", 0)}
    assert [one.labels for one in found if "fp32" in one.artifact] == [0, 0]
    assert all(one.largest < 1e-4 for one in found if "fp32" in one.artifact)
    assert all(one.labels <= 0.02 * one.logits for one in found), found
