"""The teacher cache among processes: killed, refused by the disk, asked for twice at once, built by two together.

Run as a script, this file is such a process.
"""

import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from edgedistill.distill.data.decoded import DecodedImages
from edgedistill.distill.data.views import Views
from edgedistill.distill.engine import joined_world
from edgedistill.distill.models import ModelSpec, build_from_spec
from edgedistill.distill.teacher_cache import open_or_build
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import EdgedistillError
from edgedistill.runtime.preprocess import Preprocessing

COUNT, CHUNK, SIZE = 40, 8, (32, 32)
CHUNKS = COUNT // CHUNK


def open_cache(root: Path, *, views: int = 2, pause: float = 0.0, told=sys.stderr) -> tuple[Path, int]:
    """The cache's folder, and how many images the teacher was run on."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    labels = (rng.random((COUNT, 3)) < 0.5).astype(np.int8)
    images = rng.integers(0, 256, (COUNT, *SIZE, 3)).astype(np.uint8)
    dataset = Dataset("noise", ("a", "b", "c"), tuple(f"{i:02d}" for i in range(COUNT)), images, labels)
    torch.manual_seed(0)
    teacher = build_from_spec(ModelSpec(name="shufflenetv2", width=0.5), 3)
    seen = 0

    def count(_, arguments):
        nonlocal seen
        seen += len(arguments[0])
        time.sleep(pause)

    teacher.register_forward_pre_hook(count)
    with joined_world() as world:
        cached = open_or_build(
            root,
            teacher,
            dataset,
            Views(dataset, DecodedImages(dataset, Preprocessing(size=SIZE)), ["flip", "shift"], seed=1, count=views),
            frozenset({"pooled"}),
            epochs=2,
            device=torch.device("cpu"),
            dtype=None,
            batch_size=4,
            workers=0,
            console=Console(file=told, width=500),
            world=world,
            chunk=CHUNK,
        )
    return cached.store.folder, seen


def start(root: Path, *, environment: dict[str, str] | None = None, **options) -> subprocess.Popen:
    arguments = [sys.executable, __file__, json.dumps({"root": str(root), **options})]
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )


def wait_for_chunks(root: Path, count: int, process: subprocess.Popen) -> Path:
    """Until `process` has finished `count` chunks; its journal."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        for journal in root.glob("*/chunks-0.jsonl"):
            if len(journal.read_bytes().splitlines()) >= count:
                return journal
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    raise TimeoutError


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.f16"))}


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> dict[str, bytes]:
    """The cache that one undisturbed process builds."""
    folder, seen = open_cache(tmp_path_factory.mktemp("reference"))
    assert seen == 1 + 2 * COUNT
    return files(folder)


def test_a_killed_build_continues_and_ends_with_the_same_bytes(tmp_path, reference):
    process = start(tmp_path, pause=0.05)
    journal = wait_for_chunks(tmp_path, 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = len(journal.read_bytes().splitlines())
    assert 3 <= done < 2 * CHUNKS
    folder, seen = open_cache(tmp_path)
    assert seen == 1 + (2 * CHUNKS - done) * CHUNK
    assert files(folder) == reference


def test_a_full_disk_is_one_line_and_destroys_nothing(tmp_path, reference):
    folder, _ = open_cache(tmp_path)
    process = start(tmp_path, views=9, limit=4 * len(reference["pooled.f16"]))
    out, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert out == ""
    told = err.splitlines()
    assert len(told) == 2, err  # what is going to be built, and why not
    assert told[1].startswith(f"teacher cache: {folder} cannot be written (File too large). Free space")
    assert files(folder) == reference
    assert open_cache(tmp_path) == (folder, 0)


def test_a_run_waits_for_another_that_builds_the_same_cache(tmp_path, reference):
    process, told = start(tmp_path, pause=0.05), io.StringIO()
    wait_for_chunks(tmp_path, 1, process)
    folder, seen = open_cache(tmp_path, told=told)
    out, err = process.communicate(timeout=100)
    assert (out.strip(), seen) == (str(1 + 2 * COUNT), 1), err  # a blank image tells the shapes
    assert f"another run is building {folder}; waiting for it" in told.getvalue()
    assert files(folder) == reference


def test_two_processes_of_one_run_build_it_together(tmp_path, reference, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    other, told = start(tmp_path, environment={**together, "RANK": "1"}), io.StringIO()
    for name, value in {**together, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    folder, seen = open_cache(tmp_path, told=told)
    out, err = other.communicate(timeout=100)
    assert (out.strip(), seen) == (str(1 + COUNT), 1 + COUNT), err
    assert "80 of 80 outputs are to be computed" in told.getvalue()
    assert "teacher cache" not in err
    assert files(folder) == reference
    assert {path.name for path in folder.glob("chunks-*")} == {"chunks-0.jsonl", "chunks-1.jsonl"}


def main(root: str, limit: int = 0, **options) -> None:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        _, seen = open_cache(Path(root), **options)
    except EdgedistillError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(seen)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
