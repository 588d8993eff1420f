"""`edgedistill bench` as a user types it: the tables, exit codes, and Ctrl-C."""

import io
import json
import os
import signal
import subprocess
import sys

import msgspec
import pytest
from rich.console import Console

from edgedistill.cli import bench_table, main
from edgedistill.runtime.bench import artifact_run
from edgedistill.runtime.bench.messages import Measure
from edgedistill.runtime.bench.plan import PLANS, BenchPlan
from edgedistill.runtime.bench.report import BenchReport


@pytest.fixture
def bench(monkeypatch, capsys, make_tiny_bundle, tmp_path):
    """Run `bench` on a bundle whose first artifact has a gate; returns (exit code, stdout, stderr)."""

    def run(*arguments, gate: float | None = None, disturbed: bool = False) -> tuple[int, str, str]:
        monkeypatch.setitem(PLANS, "demo", BenchPlan(queries=100, seconds=0.0, rounds=2))
        monkeypatch.setattr(artifact_run, "_WARM_UP", Measure(queries=1, seconds=0.0))
        marks = {"others": 0.6} if disturbed else {}
        monkeypatch.setattr(
            artifact_run,
            "judge_turns",
            lambda turns: tuple(msgspec.structs.replace(turn, disturbed_by=marks) for turn in turns),
        )
        root = tmp_path / "bundle"
        if not root.exists():
            make_tiny_bundle(root)
        manifest = json.loads((root / "manifest.json").read_text())
        manifest["artifacts"][0]["target"]["gates"] = {"max_p95_ms": gate}
        (root / "manifest.json").write_text(json.dumps(manifest))
        command = ["edgedistill", "bench", root, "--preset", "demo", "-a", "ort-fp32", *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        with pytest.raises(SystemExit) as done:
            main()
        out, err = capsys.readouterr()
        return int(done.value.code or 0), out, err

    return run


@pytest.mark.parametrize(
    ("gate", "disturbed", "verdict", "code"),
    [
        (None, False, "not judged", 0),
        (None, True, "not judged", 0),
        (1e4, False, "passed", 0),
        (1e-6, False, "failed", 1),
        (1e-6, True, "undecided", 4),
        (1e4, True, "undecided", 4),
    ],
)
def test_the_verdict_its_exit_code_and_its_json_agree(bench, gate, disturbed, verdict, code):
    found, out, _ = bench("--json", gate=gate, disturbed=disturbed)
    report = json.loads(out)
    (artifact,) = report["artifacts"]
    assert (found, report["verdict"], artifact["verdict"]) == (code, verdict, verdict)
    assert report["passed"] == artifact["passed"] == (verdict == "passed")
    assert report["disturbed"] == bool(artifact["disturbed"]) == disturbed
    assert artifact["latency"]["p90"]["low"] <= artifact["p90_ms"] <= artifact["latency"]["p90"]["high"]
    assert artifact["latency"]["p90"]["confidence"] == 0.95
    assert artifact["disturbed_turns"] == (len(artifact["turns"]) if disturbed else 0)
    assert len(artifact["samples_ms"]) == sum(turn["samples"] for turn in artifact["turns"]) >= 100


def test_the_table_says_it_too(bench):
    code, out, _ = bench("--one-at-a-time", gate=1e-6)
    assert code == 1
    assert "failed  ort-fp32: p95 latency" in out
    assert "0 of 2" in out
    code, out, _ = bench(gate=1e-6, disturbed=True)
    assert code == 4
    assert "undecided  ort-fp32: p95 latency" in out
    assert "disturbed  ort-fp32: 3 of 3 turns disturbed: other processes used 60 % of the cores" in out


def test_names_are_printed_as_they_are(bench, tmp_path, capsys, monkeypatch):
    """Not as rich's markup, which a name in brackets would be: neither while it measures nor in the tables."""
    code, _, _ = bench()
    assert code == 0
    path = tmp_path / "bundle" / "manifest.json"
    path.write_text(path.read_text().replace('"ort-fp32"', '"[/x]"'))
    monkeypatch.setattr(sys, "argv", ["edgedistill", "bench", str(path.parent), "--preset", "demo", "-a", "[/x]"])
    with pytest.raises(SystemExit) as done:
        main()
    out, err = capsys.readouterr()
    assert (int(done.value.code or 0), err) == (0, "")
    assert out.count("[/x]") >= 2


@pytest.mark.parametrize("threads", ["0", "-3"])
def test_threads_below_one_are_refused_in_a_line(bench, threads):
    code, out, err = bench("--threads", threads)
    assert code == 2
    assert "--threads" in err
    assert "Traceback" not in out + err


def test_the_tables_fit_into_100_columns(bench):
    report = msgspec.convert(json.loads(bench("--json")[1]), BenchReport)
    (artifact,) = report.artifacts
    turns = tuple(msgspec.structs.replace(turn, disturbed_by={"others": 0.4}) for turn in artifact.turns[:1])
    named = msgspec.structs.replace(artifact, name="onnxruntime-cpu-fp32", turns=(*turns, *artifact.turns[1:]))
    named, slow = (msgspec.structs.replace(named, latency=_times(named.latency, scale)) for scale in (0.212, 172.2))
    missing = msgspec.structs.replace(named, name="[/x]", status="could_not_run", reason="no [bold] GPU")
    report = msgspec.structs.replace(report, artifacts=(named, slow, missing), load_start=(0.25,), load_end=(1.5,))
    text = io.StringIO()
    bench_table.bench_report(report, Console(file=text, width=100, highlight=False))
    lines = text.getvalue().splitlines()
    rows = [line for line in lines if line.startswith("onnxruntime-cpu-fp32")]
    assert len([row for row in rows if not row.startswith("onnxruntime-cpu-fp32:")]) == 6  # none is folded
    assert "p90 [95 %]" in lines[1]
    assert all(len(row) <= 100 for row in rows if ":" not in row)
    assert "could not run  [/x]: no [bold] GPU" in lines
    assert "load average 0.2 before, 1.5 after" in lines
    assert "onnxruntime-cpu-fp32: 1 of 2 turns left out (other processes used 40 % of the cores)" in lines


def _times(latency, scale):
    """Not those that were measured: a disturbed machine's intervals are wide."""
    plain = msgspec.to_builtins(latency)
    for name in ("p50", "p90", "p95"):
        plain[name] |= {"estimate": scale, "low": 0.9 * scale, "high": 1.1 * scale}
    return msgspec.convert(plain, type(latency))


TOLD = """
import sys
from edgedistill import runtime
from edgedistill.cli import main
real = runtime.benchmark
def told(*arguments, progress, **options):
    return real(*arguments, progress=lambda text: print(text, file=sys.stderr, flush=True), **options)
runtime.benchmark = told
sys.argv = ["edgedistill", *sys.argv[1:]]
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a Unix terminal")
@pytest.mark.parametrize(
    ("seen", "end", "message"),
    [
        ("loading", signal.SIGINT, "nothing was measured yet"),
        ("round 2", signal.SIGINT, "interrupted; the first 1 round of 4 planned: kept in"),
        ("round 2", signal.SIGTERM, "interrupted; the first 1 round of 4 planned: kept in"),
    ],
)
def test_ctrl_c_keeps_the_complete_rounds_and_says_where(make_tiny_bundle, tmp_path, seen, end, message):
    root = make_tiny_bundle(tmp_path / "bundle")
    command = [sys.executable, "-c", TOLD, "bench", str(root), "-a", "ort-fp32", "--preset", "smoke"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    said = ""
    while seen not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    # Ctrl-C reaches every process of the terminal, SIGTERM the one that is meant.
    os.killpg(process.pid, end) if end == signal.SIGINT else process.terminate()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert message in err
    assert "Traceback" not in err + out
    results = list((root / "results").rglob("*.json")) if (root / "results").exists() else []
    assert len(results) == (1 if seen == "round 2" else 0)
    if results:
        assert "interrupted after round 1 of 4" in out
        assert '"interrupted": true' in results[0].read_text()
