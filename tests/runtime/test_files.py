"""Atomic writes where `fsync` wants a descriptor that is open for writing and folders cannot be opened: on Windows."""

import errno
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgedistill.runtime.bundle import read_runs, read_samples, save_run
from edgedistill.runtime.errors import EdgedistillError
from edgedistill.runtime.files import atomic_path, require_space, write_atomic
from edgedistill.runtime.record import Record

ROOT = Path(__file__).parents[2]


@pytest.fixture
def synced(monkeypatch):
    """Make os.fsync and os.open behave as on Windows; the inodes that were synced, in order."""
    fcntl = pytest.importorskip("fcntl", reason="this system has no fcntl")
    real_fsync, real_open, done = os.fsync, os.open, []

    def fsync(descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real_fsync(descriptor)
        done.append(os.fstat(descriptor).st_ino)

    def open_(path, flags, *arguments, **options):
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real_open(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "open", open_)
    return done


def test_the_simulation_refuses_what_windows_refuses(synced, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    with (tmp_path / "x").open("rb") as stream, pytest.raises(OSError, match=r"[Bb]ad file"):
        os.fsync(stream.fileno())


def test_text_and_bytes_are_written_and_synced(synced, tmp_path):
    path = tmp_path / "new folder" / "x.json"
    for data, written in (("ä", "ä".encode()), (b"\0\1", b"\0\1"), ("", b"")):
        write_atomic(path, data)
        assert path.read_bytes() == written
        assert synced[-1] == path.stat().st_ino
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]


def test_what_a_library_writes_is_synced_too(synced, tmp_path):
    with atomic_path(tmp_path / "x.npz") as temporary, temporary.open("wb") as stream:
        np.savez(stream, a=np.arange(3))
    assert np.load(tmp_path / "x.npz")["a"].tolist() == [0, 1, 2]
    with atomic_path(tmp_path / "x.zip") as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr("a", b"b")
    assert synced == [(tmp_path / name).stat().st_ino for name in ("x.npz", "x.zip")]


def test_a_run_and_its_samples_are_saved(synced, tmp_path):
    class Report(Record):
        value: int = 3

    path = save_run(tmp_path, "bench", Report(), {"one": np.arange(4.0)})
    (runs,) = read_runs(tmp_path).values()
    assert runs[0].decode(Report) == Report()
    assert read_samples(path)["one"].tolist() == [0, 1, 2, 3]
    assert len(synced) == 2


def test_room_is_found_out(synced, tmp_path):
    require_space(tmp_path / "runs", 1000)
    with pytest.raises(EdgedistillError, match="cannot hold the"):
        require_space(tmp_path / "runs", 1 << 62)


def test_a_disk_that_is_full_when_it_is_synced_keeps_the_old_file(monkeypatch, tmp_path):
    write_atomic(tmp_path / "x", b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgedistillError, match=r"cannot write .*x: No space left on device\. Free space"):
        write_atomic(tmp_path / "x", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"old"}


def test_nothing_else_of_the_project_syncs_by_itself():
    """What these tests show of `atomic_path` holds of every atomic write."""
    own = ROOT / "runtime" / "files.py"
    for folder in ("distill", "edgedistill", "export", "runtime"):
        for path in (ROOT / folder).rglob("*.py"):
            assert path == own or not re.search(r"fsync|os\.rename|os\.replace", path.read_text(encoding="utf-8"))
