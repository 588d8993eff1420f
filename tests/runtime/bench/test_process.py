"""The measured process: what it does when it hangs, babbles, dies, is interrupted or loses its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from edgedistill import runtime
from edgedistill.runtime.bench import artifact_run, process
from edgedistill.runtime.bench.messages import Measure, Measured, Refused, Start, Started
from edgedistill.runtime.bench.plan import PLANS, BenchPlan
from edgedistill.runtime.bench.process import Worker, WorkerLostError
from edgedistill.runtime.bench.scenarios import Setting
from edgedistill.runtime.targets import Gates

START = Start(
    source=b"nowhere", identity="", artifact="a", backend=None, precision=None, device=None, threads=1, batch_size=1
)
FLOOD = "import sys\nfor _ in range(2000): sys.stderr.write('x' * 20_000 + '\\n')\n"
STARTED = msgspec.json.encode(Started(1.0, 1.0, 1.0, {})).decode()

FAULTS = {
    "dies": ("import sys; sys.exit('boom')", "its process ended with code 1: boom"),
    "killed": ("import os, signal; os.kill(os.getpid(), 9)", "its process ended by signal 9: it wrote nothing"),
    "garbage": (
        "print('hello', flush=True); import time; time.sleep(600)",
        "something that is no answer while loading",
    ),
    "binary": (
        "import os, time; os.write(1, bytes(range(128, 256)) + b'\\n'); time.sleep(600)",
        "something that is no answer while loading",
    ),
    "half": ("import os; os.write(1, b'{\"type\":')", "its process ended with code 0: it wrote nothing"),
    "flood": (FLOOD + "sys.exit('drowned')", "its process ended with code 1: drowned"),
    "one long line": (
        "import sys; sys.stderr.write('x' * 5_000_000); sys.exit(3)",
        "its process ended with code 3: xxx",
    ),
    "hangs": ("import time; time.sleep(600)", "gave no answer within 2 s while loading: stopped"),
    "floods and hangs": (FLOOD + "import time; time.sleep(600)", "gave no answer within 2 s while loading: stopped"),
    "silent": (
        "import os, time; os.close(1); time.sleep(600)",
        "its process closed its output and went on: stopped; it wrote nothing",
    ),
    "hangs later": (f"print('{STARTED}', flush=True); import time; time.sleep(600)", "while warming up: stopped"),
}


@pytest.fixture
def quick(monkeypatch):
    """Short limits, a short plan."""
    monkeypatch.setattr(artifact_run, "TURN_SECONDS", 2.0)
    monkeypatch.setattr(artifact_run, "_WARM_UP", Measure(queries=1, seconds=0.0))
    monkeypatch.setattr(process, "_ENDING_SECONDS", 1.0)
    monkeypatch.setitem(PLANS, "demo", BenchPlan(queries=20, seconds=0.0, rounds=1))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_process_takes_one_line_and_the_others_go_on(fault, quick, make_tiny_bundle, tmp_path, monkeypatch):
    code, message = FAULTS[fault]
    if fault.endswith("hangs"):
        monkeypatch.setattr(artifact_run, "START_SECONDS", 2.0)
    boots = iter([code])
    real = subprocess.Popen

    def start(arguments, **options):
        if len(arguments) > 2 and arguments[2] == process._BOOT and (faulty := next(boots, None)) is not None:
            arguments = [*arguments[:2], faulty, *arguments[3:]]
        elif len(arguments) > 2 and arguments[2] == process._BOOT:
            monkeypatch.setattr(artifact_run, "START_SECONDS", 600.0)  # the other one has all the time that it needs
            monkeypatch.setattr(artifact_run, "TURN_SECONDS", 600.0)
        return real(arguments, **options)

    monkeypatch.setattr(process.subprocess, "Popen", start)
    report = runtime.benchmark(make_tiny_bundle(tmp_path / "b"), artifacts=["ort-fp32", "ov-fp32"], preset="demo")
    faulty, other = report.artifacts
    assert faulty.status == faulty.verdict == "failed"
    assert message in faulty.reason
    assert "\n" not in faulty.reason
    assert len(faulty.reason) < 400
    assert other.status == "ran"
    assert report.verdict == "failed"


def test_one_that_says_more_than_it_is_asked_is_held_up_and_can_be_ended(monkeypatch):
    monkeypatch.setattr(process, "_BOOT", f"for _ in range(10**6): print('{STARTED}', flush=True)")
    with Worker() as worker:
        for _ in range(5):
            assert isinstance(worker.ask(START, seconds=20.0, doing="x"), Started)
        time.sleep(0.2)
        assert worker._answers.qsize() <= 2
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    assert not any(reader.is_alive() for reader in worker._readers)


def test_the_limit_grows_with_what_an_inference_takes(tiny_bundle):
    run = artifact_run.ArtifactRun(
        tiny_bundle, runtime.open_bundle(tiny_bundle).manifest.artifacts[0], Setting(), Gates()
    )
    run._inference_seconds = 10.0
    assert run._limit(Measure(queries=26, seconds=2.0)) == pytest.approx(60 + 20 * (2 + 260))


def start_of(root) -> Start:
    whole = runtime.open_bundle(root)
    return msgspec.structs.replace(
        START, source=os.fsencode(root), identity=whole.manifest_sha256, artifact="ort-fp32", batch_size=2
    )


@pytest.fixture
def started(tiny_bundle):
    """A real process with an artifact loaded."""
    with Worker() as worker:
        answer = worker.ask(start_of(tiny_bundle), seconds=300.0, doing="loading")
        assert isinstance(answer, Started)
        yield worker


def test_it_measures_and_refuses(started):
    answer = started.ask(Measure(queries=30, seconds=0.01), seconds=300.0, doing="measuring")
    assert isinstance(answer, Measured)
    assert len(answer.samples_ms) >= 30
    assert 0 < answer.canary_floor_ms <= answer.canary_ms
    assert answer.seconds > sum(answer.samples_ms) / 1000
    refused = started.ask(START, seconds=300.0, doing="loading")
    assert isinstance(refused, Refused)
    assert "no such file or folder" in refused.reason
    with pytest.raises(WorkerLostError, match="asked to measure before anything was started"):
        started.ask(Measure(queries=1, seconds=0.0), seconds=300.0, doing="measuring")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a Unix terminal")
def test_ctrl_c_is_the_parent_s_business(started):
    os.kill(started.pid, signal.SIGINT)
    answer = started.ask(Measure(queries=1, seconds=0.0), seconds=300.0, doing="measuring")
    assert isinstance(answer, Measured)


def test_it_ends_with_its_input_even_in_the_middle_of_measuring(started):
    request = msgspec.json.encode(Measure(queries=1, seconds=3600.0)) + b"\n"
    started._stdin.write(request)
    started._stdin.flush()
    time.sleep(0.5)
    assert started._process.poll() is None
    started._stdin.close()
    assert started._process.wait(timeout=30) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's prctl")
def test_linux_kills_it_with_its_parent():
    """Even while a library's call holds Python's lock: PR_GET_PDEATHSIG is 2."""
    code = (
        "import ctypes\nfrom edgedistill.runtime.bench import worker\nworker._die_with_parent()\n"
        "found = ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(found))\nprint(found.value)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == signal.SIGKILL


ORPHANS = """
import sys
from edgedistill import runtime
from edgedistill.runtime.bench import artifact_run
real = artifact_run.Worker.ask
def ask(self, request, **how):
    print(self.pid, type(request).__name__, flush=True)
    return real(self, request, **how)
artifact_run.Worker.ask = ask
runtime.benchmark(sys.argv[1], artifacts=["ort-fp32"], preset="full")
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the process in /proc")
@pytest.mark.parametrize("moment", ["Start", "Measure"])
def test_no_process_is_left_when_the_parent_is_killed(make_tiny_bundle, tmp_path, moment):
    arguments = [sys.executable, "-c", ORPHANS, str(make_tiny_bundle(tmp_path / "b"))]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        pid = next(line.split()[0] for line in parent.stdout if moment in line)
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
    deadline = time.monotonic() + 30
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_lies_in_the_current_folder_is_not_run(make_tiny_bundle, tmp_path):
    """S6: the names of modules that the process imports, and of the package itself, in the folder it is started in."""
    bundle, folder, marker = make_tiny_bundle(tmp_path / "b"), tmp_path / "here", tmp_path / "executed"
    folder.mkdir()
    trap = f"open({str(marker)!r}, 'a').write(__name__ + ' ')\nraise SystemExit('trapped')\n"
    for name in ("numpy", "msgspec", "json", "queue", "signal", "threading", "hashlib", "yaml", "PIL", "onnxruntime"):
        (folder / f"{name}.py").write_text(trap)
    (folder / "edgedistill").mkdir()
    (folder / "edgedistill" / "__init__.py").write_text(trap)
    start = "import sys\ndel sys.path[0]\nfrom edgedistill.cli import main\nmain()"  # as the console script does
    done = subprocess.run(
        [sys.executable, "-c", start, "bench", str(bundle), "-a", "ort-fp32", "--preset", "demo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(runtime.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert not marker.exists()


def test_the_package_is_the_parent_s_and_pythonpath_stays(tmp_path, monkeypatch):
    (tmp_path / "only_on_pythonpath.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    say = "def main():\n    import sys, edgedistill, only_on_pythonpath\n    sys.exit(edgedistill.__file__)\n"
    (tmp_path / "fake_worker.py").write_text(say)
    monkeypatch.setattr(
        process, "_BOOT", process._BOOT.replace("import_module(worker)", "import_module('fake_worker')")
    )
    import edgedistill

    with Worker() as worker, pytest.raises(WorkerLostError) as lost:
        worker.ask(START, seconds=60.0, doing="loading")
    assert str(lost.value).endswith(edgedistill.__file__)
