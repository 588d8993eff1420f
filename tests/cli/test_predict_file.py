"""`predict --output`: whole or not there, continued, and what is in it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from edgedistill.cli import prediction_file
from edgedistill.cli.prediction_file import PredictionFile
from edgedistill.cli.prediction_tables import WRITERS
from edgedistill.runtime.backends.onnxruntime import OnnxRuntimeBackend
from edgedistill.runtime.datasets import open_dataset
from edgedistill.runtime.datasets.score_file import read_scores
from edgedistill.runtime.errors import ConfigError, EdgedistillError


@pytest.fixture
def photos(tiny_bundle, tmp_path):
    """Seven photographs, the fourth of them damaged."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("red", "teal", "grey", "red", "teal", "grey", "red")):
        data = (tiny_bundle / "selftest" / f"{name}.jpg").read_bytes()
        (folder / f"{number}-{name}.jpg").write_bytes(data[:300] if number == 3 else data)
    return folder


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines_are_those_of_the_terminal(command, tiny_bundle, photos, tmp_path):
    out = tmp_path / "out.jsonl"
    code, said, err = command("predict", tiny_bundle, photos, "-o", out)
    assert (code, said) == (2, "")
    assert f"skipped: {photos / '3-red.jpg'}: cannot be decoded" in err
    assert err.endswith("error: 1 of 7 images could not be read.\n")
    assert f"{out}: 6 images, 1 skipped." in err
    printed = command("predict", tiny_bundle, photos, "--json")[1]
    assert rows(out) == [json.loads(line) for line in printed.splitlines()]
    about = json.loads((tmp_path / "out.jsonl.about.json").read_text())
    assert (about["complete"], about["images"], about["skipped"]) == (True, 7, 1)
    assert about["decided_by"]["artifact"] == "ort-fp32"
    assert about["decided_by"]["decode"] == "full"
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jsonl", "out.jsonl.about.json"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_are_a_data_set_or_a_teacher_s_scores(command, tiny_bundle, photos, tmp_path, suffix):
    if suffix == "parquet":
        from pyarrow import parquet
    labels, scores = tmp_path / f"labels.{suffix}", tmp_path / f"scores.{suffix}"
    assert command("predict", tiny_bundle, photos, "-o", labels)[0] == 2
    assert command("predict", tiny_bundle, photos, "-o", scores, "--scores")[0] == 2
    printed = [json.loads(line) for line in command("predict", tiny_bundle, photos, "--json")[1].splitlines()]
    good = [row for row in printed if "error" not in row]
    found = read_scores(scores)
    assert found.classes == ("red", "green", "blue", "bright")
    assert list(found.ids) == [row["image"] for row in good]
    np.testing.assert_allclose(found.values[0, 0], good[0]["labels"]["red"], rtol=1e-6)
    if suffix == "csv":
        data = open_dataset(str(labels), classes=["red", "green", "blue", "bright"])
        reported = [[name for name, label in zip(data.classes, one, strict=True) if label == 1] for one in data.labels]
        assert [set(names) for names in reported] == [set(row["labels"]) for row in good]
    else:
        table = parquet.read_table(labels).to_pylist()
        assert [dict(zip(row["labels"], row["probabilities"], strict=True)) for row in table] == [
            pytest.approx(row["labels"]) for row in good
        ]
    with (tmp_path / f"scores.{suffix}.skipped.csv").open() as stream:
        assert [row["path"] for row in csv.DictReader(stream)] == [str(photos / "3-red.jpg")]


def test_what_an_interruption_left_is_continued_to_the_same_file(command, tiny_bundle, photos, tmp_path):
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    command("predict", tiny_bundle, photos, "-o", whole)
    command("predict", tiny_bundle, photos, "-o", out)
    lines = command("predict", tiny_bundle, photos, "--json")[1].encode().splitlines(keepends=True)
    out.unlink()  # as a process leaves it that is killed while it writes the sixth row
    partial = tmp_path / "out.csv.partial"
    partial.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    code, _, err = command("predict", tiny_bundle, photos, "-o", out)
    assert code == 2
    assert "5 images done already" in err
    assert out.read_bytes() == whole.read_bytes()
    assert not partial.exists()


@pytest.mark.parametrize("damage", [b"\0" * 300 + b"\n", b'{"image": 7}\n', b"[]\n", b'{"image":"x", \xff\n'])
def test_what_a_power_cut_left_is_continued_too(command, tiny_bundle, photos, tmp_path, damage):
    out = tmp_path / "out.jsonl"
    command("predict", tiny_bundle, photos, "-o", out)
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.unlink()
    (tmp_path / "out.jsonl.partial").write_bytes(b"".join(lines[:2]) + damage + b"".join(lines[3:]))
    code, _, err = command("predict", tiny_bundle, photos, "-o", out)
    assert code == 2
    assert "2 images done already" in err
    assert out.read_bytes() == whole


def test_a_finished_file_is_not_made_again_and_another_s_is_not_touched(command, tiny_bundle, photos, tmp_path):
    out = tmp_path / "out.csv"
    command("predict", tiny_bundle, photos, "-o", out)
    made, content = out.stat().st_mtime_ns, out.read_bytes()
    code, _, err = command("predict", tiny_bundle, photos, "-o", out)
    assert code == 2
    assert "out.csv: was complete already: 6 images, 1 skipped." in err
    for other, told in ((("--decode", "reduced"), "decode: full, now reduced"), (("--top", 1), "top: none, now 1")):
        code, _, err = command("predict", tiny_bundle, photos, "-o", out, *other)
        assert code == 2
        assert f"was made otherwise ({told}): give the same, another --output, or --overwrite" in err
    (tmp_path / "mine.csv").write_text("mine")
    code, _, err = command("predict", tiny_bundle, photos, "-o", tmp_path / "mine.csv")
    assert "does not say what made it" in err
    assert (tmp_path / "mine.csv").read_text() == "mine"
    assert out.stat().st_mtime_ns == made
    assert command("predict", tiny_bundle, photos, "-o", out, "--decode", "reduced", "--overwrite")[0] == 2
    assert out.read_bytes() == content  # small photographs: the same pixels
    assert out.stat().st_mtime_ns > made


def test_a_finished_file_is_not_taken_for_one_of_other_images(command, tiny_bundle, photos, tmp_path):
    out, added = tmp_path / "out.csv", photos / "7-teal.jpg"
    command("predict", tiny_bundle, photos, "-o", out)
    added.write_bytes((photos / "1-teal.jpg").read_bytes())
    code, _, err = command("predict", tiny_bundle, photos, "-o", out)
    assert code == 2
    assert "out.csv: is of other images: 7 then, 8 now, in their names or order" in err
    added.unlink()
    (photos / "0-red.jpg").rename(photos / "0-rose.jpg")
    assert "other images: 7 then, 7 now" in command("predict", tiny_bundle, photos, "-o", out)[2]
    (photos / "0-rose.jpg").rename(photos / "0-red.jpg")
    assert "was complete already" in command("predict", tiny_bundle, photos, "-o", out)[2]


def test_what_was_never_finished_is_not_called_complete(command, tiny_bundle, photos, tmp_path):
    out, about = tmp_path / "out.csv", tmp_path / "out.csv.about.json"
    command("predict", tiny_bundle, photos, "-o", out)
    whole = out.read_bytes()
    out.write_text("of an earlier run")  # which --overwrite was to replace, and whose .partial somebody removed
    about.write_text(json.dumps({**json.loads(about.read_text()), "complete": False}))
    assert command("predict", tiny_bundle, photos, "-o", out)[0] == 2
    assert out.read_bytes() == whole


def test_what_another_process_is_writing_is_left_to_it(tmp_path):
    pytest.importorskip("fcntl", reason="Windows has no such locks")
    path = tmp_path / "out.jsonl"
    with PredictionFile(path, {"scores": False}) as first:
        first.write({"image": "a.jpg", "labels": {}})
        for overwrite in (False, True):
            with pytest.raises(ConfigError, match="another process is writing it"):
                PredictionFile(path, {"scores": False}, overwrite=overwrite)
        first.finish()
    assert rows(path) == [{"image": "a.jpg", "labels": {}}]
    with PredictionFile(path, {"scores": True}, overwrite=True) as second:
        second.finish()
    assert rows(path) == []


def test_other_images_are_not_continued(command, tiny_bundle, photos, tmp_path):
    out, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    command("predict", tiny_bundle, photos, "-o", out)
    out.rename(partial)
    (photos / "0-red.jpg").unlink()
    code, _, err = command("predict", tiny_bundle, photos, "-o", out)
    assert code == 2
    assert f"got to {photos / '0-red.jpg'} as its image 1, but {photos / '1-teal.jpg'} comes there now" in err
    assert len(rows(partial)) == 7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "out.txt"], "give a name that ends with .jsonl, .csv, .parquet"),
        (["--scores"], "--scores: goes with --output FILE"),
        (["--overwrite"], "--overwrite: goes with --output FILE"),
    ],
)
def test_a_mistake_is_told_before_anything_is_computed(command, tiny_bundle, photos, options, words):
    code, _, err = command("predict", tiny_bundle, photos, *options)
    assert code == 2
    assert words in err


def test_a_full_disk_costs_nothing_that_was_computed(command, tiny_bundle, photos, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    command("predict", tiny_bundle, photos, "-o", whole)
    write = PredictionFile.write

    def filling(self, row):
        if self.rows == 4:
            os.dup2(os.open("/dev/full", os.O_WRONLY), self._stream.fileno())
        write(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(prediction_file, "_FLUSH_EVERY", 1)
        patch.setattr(PredictionFile, "write", filling)
        code, _, err = command("predict", tiny_bundle, photos, "-o", out)
    assert code == 2
    assert "No space left on device. What is in there is kept: free space, and the same command goes on." in err
    assert len(rows(tmp_path / "out.jsonl.partial")) == 4
    assert command("predict", tiny_bundle, photos, "-o", out)[0] == 2
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_process_loses_nothing(command, tiny_bundle, tmp_path):
    listed, out = tmp_path / "list.txt", tmp_path / "out.jsonl"
    photos = [tiny_bundle / "selftest" / f"{name}.jpg" for name in ("red", "teal", "grey")] * 300
    listed.write_text("".join(f"{photo}\n" for photo in photos))
    arguments = [sys.executable, "-m", "edgedistill", "predict", tiny_bundle, "-", "-o", out]
    with listed.open() as stream:
        process = subprocess.Popen(arguments, stdin=stream, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    partial, deadline = tmp_path / "out.jsonl.partial", time.monotonic() + 30
    while not (partial.exists() and partial.stat().st_size > 5_000) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not out.exists()
    kept = partial.read_bytes().count(b"\n")
    with listed.open() as stream:
        done = subprocess.run(arguments, stdin=stream, capture_output=True, text=True, check=True)
    assert f"{kept:,} images done already" in done.stderr
    assert [row["image"] for row in rows(out)] == [str(photo) for photo in photos]


def test_a_backend_that_gives_up_is_told_and_what_came_before_is_kept(
    command, tiny_bundle, photos, tmp_path, monkeypatch
):
    run, left = OnnxRuntimeBackend._run, [4]

    def failing(self, feeds):
        left[0] -= 1
        if left[0] < 0:
            raise EdgedistillError("out of memory")
        return run(self, feeds)

    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    command("predict", tiny_bundle, photos, "-o", whole)
    with monkeypatch.context() as patch:
        patch.setattr(OnnxRuntimeBackend, "_run", failing)
        patch.setattr("edgedistill.runtime.predictor.predictor.usable_cores", lambda: 1)
        code, _, err = command("predict", tiny_bundle, photos, "-o", out)
    assert code == 2
    assert "out of memory" in err
    assert [row["image"] for row in rows(tmp_path / "out.jsonl.partial")] == [row["image"] for row in rows(whole)][:5]
    assert command("predict", tiny_bundle, photos, "-o", out)[0] == 2
    assert out.read_bytes() == whole.read_bytes()


def test_ctrl_c_says_how_far_it_got(command, tiny_bundle, photos, tmp_path, monkeypatch):
    write, out = PredictionFile.write, tmp_path / "out.jsonl"

    def interrupted(self, row):
        if self.rows == 3:
            raise KeyboardInterrupt
        write(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(PredictionFile, "write", interrupted)
        code, _, err = command("predict", tiny_bundle, photos, "-o", out)
    assert code == 130
    assert "interrupted; 3 images done, and the same command goes on behind them." in err
    assert "3 images done already" in command("predict", tiny_bundle, photos, "-o", out)[2]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the system tells no process's memory")
def test_memory_does_not_grow_with_the_images(tiny_bundle, tmp_path):
    """But for the names of a folder."""
    peaks, counts = [], (500, 12_000)
    for count in counts:
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            os.link(tiny_bundle / "selftest" / "red.jpg", folder / f"{number:05}.jpg")
        out = tmp_path / f"{count}.csv"
        asked = ["predict", tiny_bundle, folder, "-a", "ort-fp32", "-o", out, "--scores"]
        process = subprocess.Popen([sys.executable, "-m", "edgedistill", *map(str, asked)], stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        assert sum(1 for _ in out.open()) == count + 1
        peaks.append(used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    assert peaks[1] - peaks[0] < 8e6  # a kept row has some 500 bytes, and the image that it is of more


def test_a_class_whose_name_separates_labels_is_read_back_from_a_table(tmp_path):
    rows, table = tmp_path / "rows.jsonl", tmp_path / "labels.csv"
    rows.write_text(json.dumps({"image": "a.jpg", "labels": {"salt; pepper": 0.75, "[dog]": 0.5}}))
    WRITERS[".csv"]()(rows, table, {"scores": False, "classes": ["[dog]", "salt; pepper"]})
    (tmp_path / "a.jpg").touch()
    assert set(open_dataset(str(table)).classes) == {"salt; pepper", "[dog]"}
