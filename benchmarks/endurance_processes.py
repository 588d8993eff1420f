"""The parts of endurance.py that run commands: killed, without room on the disk, and served."""

import http.client
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet
from endurance_memory import growth, resident
from endurance_part import BACKEND, BLOCKS, MODULE, Part, photographs

from edgedistill import runtime
from edgedistill.runtime.bench.report import BenchReport
from edgedistill.runtime.bundle import read_runs

KILLED = 2
FEW = 1000  # files that need what many need, but for their names


def bulk(bundle: Path, folder: Path, count: int, leak: int) -> Part:
    """`predict FOLDER -o FILE`, killed twice on its way: the same command ends with a line for every file.

    Then again in one piece as Parquet, and of a few files: memory is not to grow with their number.
    """
    good, corrupt = photographs(bundle, folder)
    images, out = folder / "images", folder / "labels.jsonl"
    images.mkdir()
    total = max(2 * FEW, count // 5)
    bad = {total // 3, total // 2}
    for number in range(total):
        os.link(corrupt if number in bad else good[number % len(good)], images / f"{number:06}.jpg")
    with runtime.load(bundle, backend=BACKEND) as predictor:
        expected = [predictor.predict(path)[0] for path in good]
    command = [*MODULE, "predict", bundle, images, "-o", out, "--backend", BACKEND]
    part = Part(counts={"files": total, "corrupt": 0, "killed": 0}, lost=[])
    partial = out.with_name(f"{out.name}.partial")
    while part.counts["killed"] < KILLED:
        size = partial.stat().st_size if partial.exists() else 0
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not partial.exists() or partial.stat().st_size <= size):
            time.sleep(0.005)
        if process.poll() is not None:
            part.lost.append(f"it ended before it could be killed, with code {process.returncode}")
            break
        process.kill()
        process.wait()
        part.counts["killed"] += 1
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
    part.counts["corrupt"] = sum("error" in row for row in rows)
    if done.returncode != 2 or part.counts["corrupt"] != len(bad):
        part.lost.append(f"exit code {done.returncode}, {part.counts['corrupt']} corrupt files told")
    if [Path(row["image"]).name for row in rows] != sorted(path.name for path in images.iterdir()):
        part.lost.append(f"{total} files and {len(rows)} lines")
    for number, row in enumerate(rows):
        right = expected[number % len(good)]
        if number not in bad and set(row.get("labels", ())) != set(right.labels):
            part.lost.append(f"a wrong answer: {row}")
    few = folder / "few"
    few.mkdir()
    for path in sorted(images.iterdir())[:FEW]:
        os.link(path, few / path.name)
    for what, given, number in (("all", images, total), (f"{FEW} files", few, FEW)):
        table = folder / f"{given.name}.parquet"
        code, peak = _peak([*MODULE, "predict", bundle, given, "-o", table, "--backend", BACKEND])
        part.counts[f"peak MB of {what}"] = peak
        kept = number - sum(place < number for place in bad)
        if code != (0 if kept == number else 2) or pyarrow.parquet.read_metadata(table).num_rows != kept:
            part.lost.append(f"{table.name}: exit code {code}, and not {kept} rows")
    return part


def _peak(command: list[str | Path]) -> tuple[int, int]:
    """A command's exit code and the most memory that it had, MB."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, round(used.ru_maxrss / 1e3)


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
