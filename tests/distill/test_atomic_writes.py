"""Checkpoints are written where `fsync` refuses a descriptor that is open for reading: on Windows."""

import errno
import os

import pytest
import torch

from edgedistill.distill.checkpoint import ModelCard, load_student, save_student
from edgedistill.distill.engine.journal import write_records
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.runtime.preprocess import Preprocessing


@pytest.fixture
def windows(monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="asks a descriptor for its mode as POSIX tells it")
    real, done = os.fsync, []

    def fsync(descriptor: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:  # a folder, or a file wrongly opened
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(descriptor)
        done.append(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return done


def test_a_student_and_its_curves_are_written(windows, tmp_path):
    spec = ModelSpec(name="cifar_resnet20")
    model = build_from_spec(spec, 2)
    card = ModelCard(
        edgedistill="0", name="x", model=spec, classes=("a", "b"), preprocessing=Preprocessing(size=(32, 32)),
        thresholds=(0.5, 0.5),
    )  # fmt: skip
    save_student(tmp_path / "student.safetensors", model, card)
    loaded = load_student(tmp_path / "student.safetensors")
    write_records(tmp_path, [{"epoch": 1}, {"epoch": 2}])
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 2
    assert len(windows) == 2
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.model.state_dict().values(), strict=True)
    )
