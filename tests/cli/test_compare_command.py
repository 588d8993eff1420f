"""`edgedistill compare` and `results` as a user types them."""

import io
import json
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from edgedistill import runtime
from edgedistill.cli.results_table import results_table
from edgedistill.runtime.bench import artifact_run
from edgedistill.runtime.bench.messages import Measure
from edgedistill.runtime.bench.plan import PLANS, BenchPlan
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.history import read_history


@pytest.fixture(scope="module")
def measured(make_tiny_bundle, tmp_path_factory):
    """A bundle with a real benchmark of two artifacts, and older ones made of it: of one artifact, and of batches."""
    root = make_tiny_bundle(tmp_path_factory.mktemp("compared") / "bundle")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PLANS, "demo", BenchPlan(queries=40, seconds=0.0, rounds=2, processes=2))
        patch.setattr(artifact_run, "_WARM_UP", Measure(queries=1, seconds=0.0))
        patch.setattr(
            artifact_run,
            "judge_turns",
            lambda turns: tuple(msgspec.structs.replace(turn, disturbed_by={}) for turn in turns),
        )
        both = Path(runtime.benchmark(root, artifacts=["ort-fp32", "ov-fp32"], preset="demo").saved)
    run = json.loads(both.read_text())
    run["report"]["artifacts"] = run["report"]["artifacts"][:1]
    one, batches = both.with_name("one.json"), both.with_name("batches.json")
    one.write_text(json.dumps({**run, "created": "2020-01-02"}))
    run["report"]["scenario"] = "batch"
    run["report"]["artifacts"][0]["batch_size"] = 4
    batches.write_text(json.dumps({**run, "created": "2020-01-01"}))
    return root, [str(path) for path in (one, batches, both)]


INTERVAL = {"estimate": 2.5, "low": 1.0, "high": 4.0, "confidence": 0.95}
AGREEMENT = {"source": "s", "images": 9, "same": INTERVAL, "changed": INTERVAL, "mean_difference": 0.1, "classes": []}
CHECK = {
    "bundle": "b",
    "manifest_sha256": "",
    "artifact": "ort-fp32",
    "effective": {},
    "photographs": "p",
    "images": 9,
    "skipped": [],
    "agreement": AGREEMENT,
    "drift": None,
    "no_drift": "",
    "to_label": [],
    "conclusions": [],
    "gates": [],
    "device": "d",
    "created": "2099",
}


def slower(path: str, to, factor: float) -> str:
    """A copy of a run in which every time is `factor` times as long."""
    plain = json.loads(Path(path).read_text())
    for artifact in plain["report"]["artifacts"]:
        for turn in artifact["turns"]:
            turn["p50_ms"] *= factor
            turn["p90_ms"] *= factor
    to.write_text(json.dumps(plain))
    return str(to)


def test_faster_slower_and_their_exit_codes(measured, command, tmp_path):
    _, (path, *_) = measured
    long, short = slower(path, tmp_path / "long.json", 1000), slower(path, tmp_path / "short.json", 0.001)
    code, out, err = command("compare", path, long)
    assert (code, err) == (1, "")
    assert "slower" in out
    assert "B / A [95 %]" in out
    assert "ort-fp32: from 2 and 2 processes, Welch's t" in out
    assert command("compare", path, short)[0] == 0
    code, out, _ = command("compare", path, long, "--max-slowdown", "5", "--json")
    found = json.loads(out)
    assert (code, found["verdict"], found["exit_code"]) == (1, "failed", 1)
    assert found["artifacts"][0]["verdict"] == "slower"
    assert found["artifacts"][0]["gates"][0]["name"] == "max_slowdown"
    code, out, _ = command("compare", path, short, "--max-bytes", "10", "--max-rss", "10GB", "--max-p90-ms", "1000")
    assert code == 1
    assert "failed  ort-fp32: size" in out


def test_two_artifacts_of_one_file(measured, command):
    _, (*_, both) = measured
    code, out, err = command("compare", both, both, "-a", "ort-fp32", "--against", "ov-fp32", "--json")
    assert code in (0, 1, 4), err
    (found,) = json.loads(out)["artifacts"]
    assert (found["name"], found["other"], found["unit"]) == ("ort-fp32", "ov-fp32", "processes in pairs")


def test_what_bench_printed_is_compared_too(measured, command, tmp_path):
    _, (path, batches, _) = measured
    code, out, err = command("compare", path, batches)
    assert (code, out) == (2, "")
    assert "batch size (1 against 4)" in err
    code, out, _ = command("compare", path, batches, "--force")
    assert "differs  scenario: single in A, batch in B" in out
    assert code in (0, 1, 4)
    code, _, err = command("compare", path, tmp_path / "none.json")
    assert code == 2
    assert "none.json: no such file" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--max-rss", "much"), "--max-rss much: needs bytes"),
        (("--confidence", "1"), "confidence 1"),
        (("--against", "x"), "goes with --artifact"),
    ],
)
def test_impossible_options_are_one_line(measured, command, arguments, told):
    _, (path, *_) = measured
    code, out, err = command("compare", path, path, *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


def test_results_lists_every_run_the_newest_first(measured, command):
    root, _ = measured
    code, out, err = command("results", root)
    assert (code, err) == (0, "")
    assert out.count("bench") == 3  # a run is named once
    rows = [line for line in out.splitlines() if "-fp32" in line]
    assert len(rows) == 4
    assert {line[: line.index("not judged")].strip() for line in rows} == {row.split()[0] for row in rows}
    assert "scenario batch" in out
    assert "batch 4" in out
    code, out, _ = command("results", root, "--json", "--newest", "1", "--kind", "bench")
    (row,) = json.loads(out)
    assert row["artifact"] == "ort-fp32"
    assert row["figures"]["p50_ms"] > 0
    assert command("results", root, "--device", "mainframe")[0] == 2
    assert "no results of such a kind; there are those of bench" in command("results", root, "--kind", "dream")[2]


def test_results_on_a_narrow_terminal_break_no_name(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b")
    rows = read_history(root)
    written = io.StringIO()
    results_table(root, rows, Console(file=written, width=80, highlight=False))
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for row in rows:
        assert any(line.startswith(f"{row.artifact} ") for line in lines)
        assert any(line.startswith(row.created[:19].replace("T", " ")) and row.device in line for line in lines)


def test_results_of_a_bundle_that_nobody_ran(tiny_bundle, command):
    code, out, _ = command("results", tiny_bundle)
    assert code == 0
    assert "nothing was run yet" in out
    assert command("results", tiny_bundle, "--json")[1].strip() == "[]"


def test_results_of_what_is_no_bundle(tmp_path, command):
    code, out, err = command("results", tmp_path)
    assert (code, out) == (2, "")
    assert "not a bundle (no manifest.json)" in err


def test_the_history_of_other_devices_and_commands(make_tiny_bundle, tmp_path, golden_copy):
    """The golden bundle's results of schema 1, a command that this version does not know, and one it cannot read."""
    root = golden_copy(tmp_path / "b")
    old = read_history(root)
    assert {row.kind for row in old} >= {"verify", "bench"}
    assert all(row.figures or row.note or row.verdict for row in old)
    folder = root / "results" / "another-device"
    folder.mkdir(parents=True)
    device = msgspec.to_builtins(next(iter(runtime_runs(root))).device)
    for number, (kind, report) in enumerate(
        [
            ("dream", {"artifacts": [{"name": "a", "verdict": "passed"}]}),
            ("check", CHECK),
            ("bench", {"odd": True}),
            ("sleep", [1]),
            ("nap", {"verdict": "failed"}),
            ("rest", {"artifacts": 7}),  # in the same second
        ]
    ):
        run = {
            "kind": kind,
            "created": f"2099-01-0{min(number + 1, 5)}",
            "device": device,
            "report": report,
            "schema_version": 2,
        }
        (folder / f"{number}.json").write_text(json.dumps({**run, "schema_version": 2}))
    found = read_history(root, device="another")
    assert [(row.kind, row.artifact, row.verdict) for row in found] == [
        ("rest", "", ""),
        ("nap", "", "failed"),
        ("sleep", "", ""),
        ("bench", "", ""),
        ("check", "ort-fp32", "not judged"),
        ("dream", "a", "passed"),
    ]
    assert "written by another edgedistill" in found[3].note
    assert (found[4].figures, found[4].intervals) == ({"changed": 2.5}, {"changed": (1.0, 4.0)})
    assert read_history(root)[: len(found)] == found  # the newest first, of all devices
    with pytest.raises(ConfigError, match="--device moon: no results of such a device; there are those of"):
        read_history(root, device="moon")


def runtime_runs(root):
    from edgedistill.runtime.bundle import read_runs

    assert open_bundle(root)
    return (run for runs in read_runs(root).values() for run in runs)
