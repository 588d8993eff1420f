"""A run that was reported as saved is there: beside others at the same moment, after kill -9, on a full disk."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgedistill.runtime.bundle import read_runs, read_samples, results_folder, save_run
from edgedistill.runtime.errors import EdgedistillError
from edgedistill.runtime.record import Record

SAVE = """
import sys
import numpy as np
from edgedistill.runtime.bundle import save_run
from edgedistill.runtime.record import Record

class Report(Record):
    who: str
    number: int

root, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
number = 0
while number < count or count == 0:
    path = save_run(root, "bench", Report(who=who, number=number), {"a": np.full(20_000, number, np.float64)})
    print(path, number, flush=True)
    number += 1
"""


class Report(Record):
    who: str
    number: int


def saver(root: Path, who: str, count: int) -> subprocess.Popen:
    command = [sys.executable, "-c", SAVE, str(root), who, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stored(root: Path) -> set[tuple[str, int]]:
    reports = [run.decode(Report) for runs in read_runs(root).values() for run in runs]
    return {(report.who, report.number) for report in reports}


def test_none_is_lost_to_another_that_ends_at_the_same_moment(tmp_path):
    savers = [saver(tmp_path, f"p{i}", 5) for i in range(8)]
    for one in savers:
        _, err = one.communicate(timeout=120)
        assert one.returncode == 0, err
    assert stored(tmp_path) == {(f"p{i}", n) for i in range(8) for n in range(5)}


def test_what_was_reported_before_kill_9_is_whole_and_nothing_half_is_shown(tmp_path, caplog):
    savers = [saver(tmp_path, f"p{i}", 0) for i in range(3)]
    reported = set()
    for i, one in enumerate(savers):
        for _ in range(3):  # all are at it
            reported.add((f"p{i}", int(one.stdout.readline().split()[-1])))
    time.sleep(0.3)
    for one in savers:
        one.send_signal(signal.SIGKILL)
    for i, one in enumerate(savers):
        reported |= {(f"p{i}", int(line.split()[-1])) for line in one.communicate()[0].splitlines() if line.count(" ")}
    with caplog.at_level(logging.WARNING):
        assert stored(tmp_path) >= reported
    assert caplog.text == ""
    for path in tmp_path.glob("results/*/*.json"):
        assert read_samples(path)["a"].shape == (20_000,)


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on file sizes is POSIX")
def test_on_a_full_disk_the_run_says_so_and_earlier_ones_stay(tmp_path):
    save_run(tmp_path, "bench", Report(who="first", number=0))
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n" + SAVE
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "second", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "EdgedistillError: cannot write" in done.stderr
    assert "Free space" in done.stderr
    assert done.stdout == ""
    assert stored(tmp_path) == {("first", 0)}
    assert [path.name for path in tmp_path.rglob("*.tmp")] == []


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(EdgedistillError, match="cannot write"):
        save_run(tmp_path, "verify", Report(who="x", number=0))


def test_samples_are_compressed_apart_and_history_is_not_rewritten(tmp_path):
    samples = np.random.default_rng(0).normal(2.0, 0.1, 30_000).round(4)
    first = save_run(tmp_path, "bench", Report(who="x", number=0), {"a": samples})
    before = (first.stat().st_mtime_ns, first.stat().st_size)
    save_run(tmp_path, "bench", Report(who="x", number=1), {"a": samples})
    assert (first.stat().st_mtime_ns, first.stat().st_size) == before
    assert first.stat().st_size < 3000
    np.testing.assert_array_equal(read_samples(first)["a"], samples)
    assert first.with_name(first.stem + ".samples.npz").stat().st_size < 0.25 * 22 * len(samples)
    assert read_samples(first.with_name("nothing.json")) == {}


def test_arrays_of_any_name_come_back(tmp_path):
    names = ("file", "allow_pickle", "args", "a/b", "ünicode [x]", "names", "array0")
    path = save_run(tmp_path, "bench", Report(who="x", number=0), {name: np.array([i]) for i, name in enumerate(names)})
    assert {name: values.tolist() for name, values in read_samples(path).items()} == {
        name: [i] for i, name in enumerate(names)
    }


@pytest.mark.parametrize("cut", [0, 10, 200, -30])
def test_damaged_samples_are_none(tmp_path, cut):
    path = save_run(tmp_path, "bench", Report(who="x", number=0), {"a": np.arange(1000)})
    samples = path.with_name(path.stem + ".samples.npz")
    data = samples.read_bytes()
    samples.write_bytes(data[:cut])
    assert read_samples(path) == {}
    for at in range(60, len(data), 97):
        samples.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
        assert set(read_samples(path)) <= {"a"}


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are POSIX")
def test_a_pipe_among_the_results_does_not_hang(tmp_path, caplog):
    save_run(tmp_path, "bench", Report(who="x", number=0))
    os.mkfifo(tmp_path / "results" / "old.json")
    assert stored(tmp_path) == {("x", 0)}
    assert "old.json" in caplog.text


def test_results_of_model_files_of_one_stem_are_apart(tmp_path):
    places = {results_folder(tmp_path / name) for name in ("m.onnx", "m.xml", "m.zip")}
    assert len(places) == 3
