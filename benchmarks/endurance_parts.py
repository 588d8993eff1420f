"""The parts of endurance.py: each injects one kind of fault and counts what is lost."""

import http.client
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from endurance_memory import Growth, growth, resident
from PIL import Image

from edgedistill import runtime
from edgedistill.runtime.backends.base import BACKENDS
from edgedistill.runtime.bench.report import BenchReport
from edgedistill.runtime.bundle import read_runs
from edgedistill.runtime.errors import DataError, InferenceError

BLOCKS = 50
LISTED = 5
BACKEND = "onnxruntime"
MODULE = [sys.executable, "-m", "edgedistill"]


class Part(msgspec.Struct, kw_only=True):
    """What a part found.

    Attributes:
        counts: what was done, in words.
        lost: what should have been there and was not, or was not right.
        growth: of memory, where the part is long enough to tell.
    """

    counts: dict[str, int]
    lost: list[str]
    growth: Growth | None = None

    @property
    def sound(self) -> bool:
        return not self.lost and (self.growth is None or self.growth.steady)


def photographs(bundle: Path, folder: Path) -> tuple[list[Path], Path]:
    """Copies of a bundle's photographs, and one that is cut off in its middle."""
    found = [Path(shutil.copy(path, folder)) for path in sorted((bundle / "selftest").iterdir())]
    corrupt = folder / "corrupt.jpg"
    corrupt.write_bytes(found[0].read_bytes()[: found[0].stat().st_size // 2])
    return found, corrupt


def predictions(bundle: Path, folder: Path, count: int, leak: int) -> Part:
    """All ways of asking, one after the other, in one process; corrupt files and failing inferences among them."""
    good, corrupt = photographs(bundle, folder)
    rng, faults = random.Random(0), _FailingBackend()
    part = Part(counts={"predictions": 0, "corrupt files": 0, "failed inferences": 0}, lost=[])
    kept: list[bytes] = []
    after: list[int] = []
    block = count // BLOCKS
    with runtime.load(bundle, backend=BACKEND, threads=1) as predictor, faults:
        expected = {path: predictor.scores(path)[0] for path in good}
        while len(after) < BLOCKS:
            done = 0
            while done < block:
                paths = [rng.choice(good) for _ in range(LISTED if rng.random() < 0.2 else 1)]
                fault = rng.choices(("", "corrupt", "backend"), (0.98, 0.01, 0.01))[0]
                given = _given(rng, paths)
                if fault == "corrupt":
                    given = [*paths]
                    given.insert(rng.randrange(len(paths) + 1), corrupt)
                faults.armed = fault == "backend"
                _ask_once(predictor, given, fault, [expected[path] for path in paths], part)
                if fault:  # asked again without the fault nothing is missing
                    _ask_once(predictor, _given(rng, paths), "", [expected[path] for path in paths], part)
                done += len(paths)
                kept += [rng.randbytes(leak) for _ in paths if leak]
            after.append(resident())
    part.growth = growth(after, block)
    return part


def _given(rng: random.Random, paths: list[Path]) -> object:
    """One image or several, in one of the forms that a predictor takes."""
    if len(paths) > 1:
        return paths
    (path,) = paths
    form = rng.randrange(5)
    if form == 0:
        with Image.open(path) as image:
            return image.copy()
    return (path, str(path), path.read_bytes(), bytearray(path.read_bytes()))[form - 1]


def _ask_once(predictor, given, fault: str, expected: list[np.ndarray], part: Part) -> None:
    try:
        found = predictor.predict(given)
    except (DataError, InferenceError) as error:
        kind = "corrupt files" if isinstance(error, DataError) else "failed inferences"
        part.counts[kind] += 1
        if (fault, kind) not in (("corrupt", "corrupt files"), ("backend", "failed inferences")):
            part.lost.append(f"refused without a fault: {error}")
        return
    part.counts["predictions"] += len(found)
    if fault:
        part.lost.append(f"answered in spite of a fault ({fault})")
    elif len(found) != len(expected) or any(
        not np.allclose(one.probabilities, row, atol=1e-5) for one, row in zip(found, expected, strict=True)
    ):
        part.lost.append(f"a wrong answer for {given!r}")


class _FailingBackend:
    """While entered, an inference of the backend raises once after each time that this was armed."""

    def __init__(self) -> None:
        self.armed = False

    def __enter__(self) -> "_FailingBackend":
        kind = BACKENDS.get(BACKEND)
        self._kind, self._run = kind, kind._run

        def run(backend, feeds):
            if self.armed:
                self.armed = False
                raise RuntimeError("injected")
            return self._run(backend, feeds)

        kind._run = run
        return self

    def __exit__(self, *_: object) -> None:
        self._kind._run = self._run


def in_folder(bundle: Path, folder: Path, count: int, leak: int) -> Part:
    """`predict` over a folder with corrupt files in its middle: every file has one line."""
    good, corrupt = photographs(bundle, folder)
    images = folder / "images"
    images.mkdir()
    total = min(count, 2000)
    for number in range(total):
        os.link(corrupt if number in (total // 2, total // 3) else good[number % len(good)], images / f"{number}.jpg")
    done = subprocess.run([*MODULE, "predict", bundle, images, "--json"], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    part = Part(counts={"files": total, "corrupt": sum("error" in line for line in lines)}, lost=[])
    told = [Path(line["image"]).name for line in lines]
    if sorted(told) != sorted(path.name for path in images.iterdir()):
        part.lost.append(f"{total} files and {len(set(told))} of them told, in {len(told)} lines")
    if done.returncode != 2 or part.counts["corrupt"] != 2:
        part.lost.append(f"exit code {done.returncode}, {part.counts['corrupt']} corrupt files told: {done.stderr}")
    return part


def full_disk(bundle: Path, folder: Path, count: int, leak: int) -> Part:
    """No room for results: the report comes all the same, says so, and what was written before stays."""
    root = Path(shutil.copytree(bundle, folder / "bundle"))
    shutil.rmtree(root / "results", ignore_errors=True)
    command = [*MODULE, "bench", root, "--preset", "demo", "--backend", BACKEND, "--json"]
    part = Part(counts={"runs": 2}, lost=[])
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    before = {path: path.read_bytes() for path in (root / "results").rglob("*") if path.is_file()}
    # A limit on file sizes is a full disk that needs no rights: a write beyond it fails in its middle.
    second = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_no_room,
    )
    after = {path: path.read_bytes() for path in (root / "results").rglob("*") if path.is_file()}
    if first.returncode or not before:
        part.lost.append(f"the first run: {first.stderr}")
    if after != before:
        part.lost.append(f"results of the first run, or half of the second's: {sorted(map(str, after))}")
    report = json.loads(second.stdout or "{}")
    if second.returncode or "cannot write" not in report.get("not_saved", "") or not report.get("artifacts"):
        part.lost.append(f"the second run's report: exit code {second.returncode}, {second.stderr}")
    return part


def _no_room() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256))


def killed_worker(bundle: Path, folder: Path, count: int, leak: int) -> Part:
    """One of two measured processes is killed in the middle: the other's figures come, and are saved."""
    root = Path(shutil.copytree(bundle, folder / "bundle"))
    killed: list[int] = []

    def kill(text: str) -> None:
        """In the second round; the children of this process are the measured ones."""
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split()
        if text.startswith("round 2") and not killed and children:
            killed.append(int(children[0]))
            os.kill(killed[0], signal.SIGKILL)

    names = [one.name for one in runtime.open_bundle(root).manifest.artifacts if one.status == "verified"][:2]
    report: BenchReport = runtime.benchmark(root, artifacts=names, preset="demo", progress=kill)
    ran = [one.name for one in report.artifacts if one.status == "ran"]
    ended = [one for one in report.artifacts if "signal 9" in one.reason]
    part = Part(counts={"measured": len(ran), "killed": len(killed)}, lost=[])
    if len(ran) != 1 or len(ended) != 1:
        part.lost.append(f"{len(ran)} of {names} measured, {len(ended)} told as killed")
    if not report.saved or not any(run.kind == "bench" for runs in read_runs(root).values() for run in runs):
        part.lost.append("the report was not saved")
    return part


def server(bundle: Path, folder: Path, count: int, leak: int) -> Part:
    """A server on the loopback with corrupt images among the good: every request is answered, and memory stays."""
    good, corrupt = photographs(bundle, folder)
    block = max(10, count // (5 * BLOCKS))
    process = subprocess.Popen(
        [*MODULE, "serve", bundle, "--port", "0", "--backend", BACKEND, "--threads", "1"],
        stderr=subprocess.PIPE,
        text=True,
    )
    part = Part(counts={"requests": 0, "corrupt": 0}, lost=[])
    try:
        found = re.search(r":(\d+)/predict", process.stderr.readline())
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]))
        bodies, rng, after = [path.read_bytes() for path in good], random.Random(0), []
        for _ in range(BLOCKS):
            for _ in range(block):
                bad = rng.random() < 0.01
                connection.request("POST", "/predict", corrupt.read_bytes() if bad else rng.choice(bodies))
                answer = connection.getresponse()
                answer.read()
                part.counts["requests"] += 1
                part.counts["corrupt"] += bad
                if answer.status != (422 if bad else 200):
                    part.lost.append(f"status {answer.status}")
            after.append(resident(process.pid))
        part.growth = growth(after, block)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    if process.returncode:
        part.lost.append(f"the server ended with code {process.returncode}")
    return part


PARTS: dict[str, Callable[[Path, Path, int, int], Part]] = {
    "predictions": predictions,
    "folder": in_folder,
    "disk": full_disk,
    "worker": killed_worker,
    "server": server,
}
