"""Where decoded images are kept: memory only where there is enough, and no room is told before training."""

import os
import resource
import shutil
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgedistill.distill.data import decoded
from edgedistill.distill.data.decoded import DecodedImages, release_memory
from edgedistill.distill.data.free_memory import free_memory
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import EdgedistillError
from edgedistill.runtime.preprocess import Preprocessing

SIZE = Preprocessing(size=(24, 32))
BYTES_OF_EIGHT = 8 * (24 * 32 * 3 + 4)


@pytest.fixture
def photographs(tmp_path) -> Dataset:
    """Eight names of files: nothing here opens one."""
    names = tuple(f"{index}.jpg" for index in range(8))
    return Dataset("photographs", ("thing",), names, [tmp_path / name for name in names], np.zeros((8, 1), np.int8))


@pytest.fixture(autouse=True)
def nothing_held():
    yield
    release_memory()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the shared memory of a process")
def test_memory_is_given_back(tint_dataset):
    def shared_kib() -> int:
        status = Path("/proc/self/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssShmem")))

    before = shared_kib()
    large = Preprocessing(size=(1024, 1024))
    for count in (5, 6, 7):
        images = DecodedImages(tint_dataset(count), large, cache="memory")
        images[0]
        assert shared_kib() - before < (count + 1) * 3 * 1024
    assert shared_kib() - before > 7 * 3 * 1000
    del images
    release_memory()
    assert shared_kib() - before < 1024


@pytest.mark.parametrize(
    ("free", "limit", "processes", "chosen"),
    [
        (2 * BYTES_OF_EIGHT, BYTES_OF_EIGHT, 1, "memory"),
        (2 * BYTES_OF_EIGHT - 1, BYTES_OF_EIGHT, 1, "off"),
        (1 << 40, BYTES_OF_EIGHT - 1, 1, "off"),
        (2 * BYTES_OF_EIGHT, BYTES_OF_EIGHT, 2, "off"),
        (4 * BYTES_OF_EIGHT, BYTES_OF_EIGHT, 2, "memory"),
        (0, 1 << 30, 1, "off"),
    ],
)
def test_auto_takes_memory_where_there_is_enough(monkeypatch, photographs, free, limit, processes, chosen):
    monkeypatch.setattr(decoded, "free_memory", lambda: free)
    monkeypatch.setattr(decoded, "MAX_MEMORY_CACHE", limit)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert DecodedImages(photographs, SIZE).cache == chosen


def test_auto_goes_on_with_what_is_held_and_never_copies_memory(monkeypatch, photographs, tint_dataset):
    assert DecodedImages(photographs, SIZE, cache="memory").cache == "memory"
    monkeypatch.setattr(decoded, "free_memory", lambda: 0)
    assert DecodedImages(photographs, SIZE).cache == "memory"
    monkeypatch.setattr(decoded, "free_memory", lambda: 1 << 40)
    assert DecodedImages(tint_dataset(3), SIZE).cache == "off"
    assert DecodedImages(photographs.subset([]), SIZE).cache == "off"


@pytest.mark.parametrize(
    ("passes", "free_disk", "file_bytes", "chosen"),
    [
        (3, 4 * BYTES_OF_EIGHT, BYTES_OF_EIGHT // 32, "disk"),
        (2, 4 * BYTES_OF_EIGHT, BYTES_OF_EIGHT // 32, "off"),  # the first writes, one reads
        (3, 4 * BYTES_OF_EIGHT - 1, BYTES_OF_EIGHT // 32, "off"),
        (3, 4 * BYTES_OF_EIGHT, BYTES_OF_EIGHT // 33, "off"),  # decoding so little is as fast as reading so much
    ],
)
def test_auto_takes_the_disk_where_memory_is_small_and_it_pays(
    monkeypatch, photographs, tmp_path, passes, free_disk, file_bytes, chosen
):
    for path in photographs.images:
        path.write_bytes(bytes(file_bytes))
    monkeypatch.setattr(decoded, "free_memory", lambda: 0)
    monkeypatch.setattr(decoded, "free_disk", lambda folder: free_disk)
    options = {"folder": tmp_path / "cache", "passes": passes}
    assert DecodedImages(photographs, SIZE, **options).cache == chosen
    if chosen == "disk":  # what is there is used, for one pass too
        assert DecodedImages(photographs, SIZE, folder=tmp_path / "cache").cache == "disk"
    assert DecodedImages(photographs, SIZE, passes=passes).cache == "off"
    monkeypatch.setattr(decoded, "free_memory", lambda: 1 << 40)
    assert DecodedImages(photographs, SIZE, **options).cache == "memory"


def test_each_part_is_held_by_itself_and_counts_for_the_other(monkeypatch, photographs):
    monkeypatch.setattr(decoded, "free_memory", lambda: 3 * BYTES_OF_EIGHT)
    training = DecodedImages(photographs, SIZE)
    validation = photographs.subset(range(7, -1, -1))
    assert training.cache == "memory"
    monkeypatch.setattr(decoded, "free_memory", lambda: 3 * BYTES_OF_EIGHT - 1)
    assert DecodedImages(validation, SIZE, part="validation").cache == "off"
    monkeypatch.setattr(decoded, "free_memory", lambda: 3 * BYTES_OF_EIGHT)
    assert DecodedImages(validation, SIZE, part="validation").cache == "memory"
    monkeypatch.setattr(decoded, "free_memory", lambda: 0)
    assert DecodedImages(photographs, SIZE).cache == "memory", "still held"


def test_free_memory_is_that_of_the_narrowest_limit(tmp_path, monkeypatch):
    def write(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    assert free_memory(tmp_path) == 0
    write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert free_memory(tmp_path) == 4000 * 1024
    write("proc/self/cgroup", "5:cpu:/x\n3:memory:/job\n0::/slice/task\n")
    assert free_memory(tmp_path) == 4000 * 1024
    write("sys/fs/cgroup/slice/memory.max", "3000000\n")  # the parent's limit holds for the task
    write("sys/fs/cgroup/slice/memory.current", "2000000\n")
    write("sys/fs/cgroup/slice/memory.stat", "anon 1500000\ninactive_file 400000\n")
    write("sys/fs/cgroup/slice/task/memory.max", "max\n")
    write("sys/fs/cgroup/slice/task/memory.current", "2000000\n")
    write("sys/fs/cgroup/slice/task/memory.stat", "inactive_file 0\n")
    assert free_memory(tmp_path) == 1_400_000
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2500000\n")  # version 1, seen from within a container
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "2000000\n")
    write("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 0\n")
    assert free_memory(tmp_path) == 500_000
    (tmp_path / "dev" / "shm").mkdir(parents=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=64 << 10))  # Docker's is small
    assert free_memory(tmp_path) == 64 << 10


@pytest.mark.parametrize("cache", ["disk", "memory"])
def test_no_room_is_told_at_the_start_in_one_line(tint_dataset, tmp_path, cache):
    context = get_context("fork")
    results = context.Queue()

    def start() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            DecodedImages(tint_dataset(40), Preprocessing(size=(128, 128)), cache=cache, folder=tmp_path / "cache")
        except EdgedistillError as error:
            results.put(str(error))
        for name in Path("/dev/shm").glob(f"torch_{os.getpid()}_*"):
            name.unlink()  # PyTorch leaves it behind, empty, where it may not resize it

    process = context.Process(target=start)
    process.start()
    message = results.get(timeout=30)
    process.join()
    assert message.startswith({"disk": "cannot keep 1.9 MiB", "memory": "cannot share 1.9 MiB"}[cache])
    assert "File too large" in message
    assert message.endswith("`decoded_cache: off`.")
    assert "\n" not in message
    assert not list(tmp_path.glob("cache/*"))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="only Linux has a file system for shared memory")
def test_little_shared_memory_is_told_before_it_is_taken(tint_dataset, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    message = r"cannot share 1\.9 MiB .*: 1\.0 MiB of /dev/shm are free\. Enlarge .*--shm-size.*`decoded_cache: disk`"
    with pytest.raises(EdgedistillError, match=message):
        DecodedImages(tint_dataset(40), Preprocessing(size=(128, 128)), cache="memory")


def test_a_folder_that_is_a_file_is_told(photographs, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(EdgedistillError, match=r"cannot keep .* in .*cache/images-[0-9a-f]{32}\.bin: .*`decoded_cache"):
        DecodedImages(photographs, SIZE, cache="disk", folder=tmp_path / "cache")


def test_disk_space_is_claimed_where_the_system_cannot_allocate(photographs, tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    DecodedImages(photographs, SIZE, cache="disk", folder=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    content = file.read_bytes()
    assert content == bytes(BYTES_OF_EIGHT)
    file.write_bytes(b"kept" + content[4:-1000])
    DecodedImages(photographs, SIZE, cache="disk", folder=tmp_path / "cache")
    assert file.read_bytes() == b"kept" + content[4:]
