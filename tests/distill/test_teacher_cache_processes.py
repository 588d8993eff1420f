"""The teacher cache among processes: killed, refused by the disk, asked for twice at once, built by two together."""

import io
import time
from functools import partial
from pathlib import Path

import pytest
from cache_building import CHUNK, CHUNKS, COUNT, build, open_cache
from forked import Forked, torchrun_environments

pytestmark = pytest.mark.usefixtures("one_thread")


def start(root: Path, *, environment: dict[str, str] | None = None, **options) -> Forked:
    return Forked(partial(build, root, **options), **(environment or {}))


def wait_for_chunks(root: Path, count: int, process: Forked) -> Path:
    """Until `process` has finished `count` chunks; its journal."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        for journal in root.glob("*/chunks-0.jsonl"):
            if len(journal.read_bytes().splitlines()) >= count:
                return journal
        assert process.runs, process.wait().err
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
    process.kill()
    process.wait()
    done = len(journal.read_bytes().splitlines())
    assert 3 <= done < 2 * CHUNKS
    folder, seen = open_cache(tmp_path)
    assert seen == 1 + (2 * CHUNKS - done) * CHUNK
    assert files(folder) == reference


def test_a_full_disk_is_one_line_and_destroys_nothing(tmp_path, reference):
    folder, _ = open_cache(tmp_path)
    process = start(tmp_path, views=9, limit=4 * len(reference["pooled.f16"]))
    code, out, err = process.wait()
    assert code == 2
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
    _, out, err = process.wait()
    assert (out.strip(), seen) == (str(1 + 2 * COUNT), 1), err  # a blank image tells the shapes
    assert f"another run is building {folder}; waiting for it" in told.getvalue()
    assert files(folder) == reference


def test_two_processes_of_one_run_build_it_together(tmp_path, reference, monkeypatch):
    own, others = torchrun_environments(2)
    other, told = start(tmp_path, environment=others), io.StringIO()
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    folder, seen = open_cache(tmp_path, told=told)
    _, out, err = other.wait()
    assert (out.strip(), seen) == (str(1 + COUNT), 1 + COUNT), err
    assert "80 of 80 outputs are to be computed" in told.getvalue()
    assert "teacher cache" not in err
    assert files(folder) == reference
    assert {path.name for path in folder.glob("chunks-*")} == {"chunks-0.jsonl", "chunks-1.jsonl"}
