"""`run` says what verify and bench found in one word, the same in table, JSON and exit code."""

import json
from typing import NamedTuple

import pytest

from edgedistill.run_summary import ModelResult, RunSummary
from edgedistill.runtime.bench.plan import PLANS
from edgedistill.runtime.bench.report import ArtifactBench, BenchReport
from edgedistill.runtime.interval import Interval
from edgedistill.runtime.parity import ArtifactParity, ParityReport
from edgedistill.runtime.parity.report import ReferenceParity
from edgedistill.runtime.verdicts import Judgement


class Found(NamedTuple):
    """What verify and bench say of one artifact; an empty latency has no gate."""

    parity: str
    latency: str = ""


def gate(name: str, verdict: str) -> Judgement:
    return Judgement(name=name, observed=2.0, limit=1.0, verdict=verdict, sentence=f"{name} is {verdict}.")


def parity(name: str, found: Found) -> ArtifactParity:
    ran = found.parity != "could not run"
    judged = ran and found.parity != "not judged"
    return ArtifactParity(
        name=name,
        backend="onnxruntime",
        precision="fp32",
        bytes=1000,
        verdict=found.parity,
        ran=ran,
        reason="" if ran else "its library is not here",
        mean_ap=Interval(estimate=80.0, low=79.0, high=81.0, confidence=0.95),
        drop=Interval(estimate=0.1, low=0.0, high=0.2, confidence=0.95),
        gates=(gate("max_map_drop", found.parity),) if judged else (),
    )


def bench(name: str, found: Found) -> ArtifactBench:
    ran = found.parity != "could not run"
    return ArtifactBench(
        name=name,
        backend="onnxruntime",
        precision="fp32",
        status="ran" if ran else "could_not_run",
        bytes=1000,
        samples_ms=(1.0,) * 100,
        gates=(gate("max_p95_ms", found.latency),) if found.latency else (),
    )


def summary(artifacts: dict[str, Found]) -> RunSummary:
    return RunSummary(
        name="tiny",
        test="test",
        models=(
            ModelResult(
                role="student", model="net", method="mld", parameters=1, mAP=80.0, OF1=70.0, CF1=70.0, images=10
            ),
        ),
        bundle="bundle",
        parity=ParityReport(
            bundle="tiny",
            manifest_sha256="0" * 64,
            dataset="test",
            fingerprint="0",
            images=10,
            skipped=(),
            classes_without_positives=0,
            reference=ReferenceParity(
                source="the framework", mean_ap=Interval(estimate=80.0, low=None, high=None, confidence=0.95)
            ),
            artifacts=tuple(parity(name, found) for name, found in artifacts.items()),
            device="cpu",
            created="2026-01-01T00:00:00Z",
        ),
        bench=BenchReport(
            bundle="tiny",
            manifest_sha256="0" * 64,
            preset="demo",
            plan=PLANS["demo"],
            batch_size=1,
            preprocess_ms=None,
            load_start=(),
            load_end=(),
            temperature_start=None,
            temperature_end=None,
            artifacts=tuple(bench(name, found) for name, found in artifacts.items()),
            device="cpu",
            created="2026-01-01T00:00:00Z",
        ),
        seconds={},
    )


@pytest.fixture
def finished(monkeypatch):
    """Let the chain end, at once, with what is to be found for each run."""

    def ends_with(*runs: dict[str, Found]):
        left = iter(runs)

        class Finished:
            def __init__(self, loaded, console): ...

            def run(self):
                return summary(next(left))

        monkeypatch.setattr("edgedistill.pipeline.Chain", Finished)
        monkeypatch.setattr("edgedistill.seeds.Chain", Finished)

    return ends_with


CASES = [
    ({"a": Found("passed")}, "passed", 0),
    ({"a": Found("passed", "passed")}, "passed", 0),
    ({"a": Found("passed"), "b": Found("could not run")}, "passed", 0),
    ({"a": Found("passed"), "b": Found("failed")}, "failed", 1),
    ({"a": Found("passed", "failed")}, "failed", 1),
    ({"a": Found("passed"), "b": Found("undecided")}, "undecided", 4),
    ({"a": Found("passed", "undecided")}, "undecided", 4),
    ({"a": Found("undecided"), "b": Found("failed")}, "failed", 1),
    ({"a": Found("not judged")}, "not judged", 5),
    ({"a": Found("not judged", "passed")}, "not judged", 5),
    ({"a": Found("could not run")}, "could not run", 3),
]


@pytest.mark.parametrize(("found", "word", "code"), CASES)
def test_the_word_and_the_exit_code(command, finished, tmp_path, found, word, code):
    finished(found, found)
    left, out, err = command("run", "demo", f"output={tmp_path}")
    assert left == code, err
    rows = [line for line in out.splitlines() if line.split()[:1] in (["a"], ["b"])]
    assert len(rows) >= len(found)
    assert any(row.rstrip().endswith(f"  {word}") for row in rows)
    left, out, _ = command("run", "demo", f"output={tmp_path}", "--json")
    report = json.loads(out)
    assert (left, report["verdict"]) == (code, word)
    assert set(report["verdicts"]) == set(found)
    assert report["parity"]["artifacts"][0]["verdict"] == found["a"].parity


@pytest.mark.parametrize(("found", "word", "code"), CASES)
def test_of_several_seeds_the_worst_counts(command, finished, tmp_path, found, word, code):
    finished({"a": Found("passed")}, found)
    left, out, err = command("run", "demo", f"output={tmp_path}", "--seeds", "3,4", "--json")
    report = json.loads(out)
    # A seed whose artifacts could not run counts only where no other's did.
    expected = ("passed", 0) if word == "could not run" else (word, code)
    assert (report["verdict"], left) == expected, err
    assert [run["verdict"] for run in report["runs"]] == ["passed", word]
    assert report["runs"][0]["remarks"] == []
    said = [remark["verdict"] for remark in report["runs"][1]["remarks"]]
    assert (word in said) == (word != "passed")


def test_seeds_tell_what_did_not_pass(command, finished, tmp_path):
    finished({"a": Found("passed", "undecided")}, {"a": Found("could not run")})
    _, out, _ = command("run", "demo", f"output={tmp_path}", "--seeds", "3,4")
    assert "undecided  seed 3: a: max_p95_ms is undecided." in out
    assert "could not run  seed 4: a: its library is not here" in out


def test_a_device_that_a_target_names_is_the_next_step(command, finished, tmp_path):
    """`run` itself logs in nowhere."""
    kiosk, other = tmp_path / "kiosk.yaml", tmp_path / "other.yaml"
    kiosk.write_text("backend: onnxruntime\nprecision: fp32\nhost: user@kiosk\n")
    other.write_text("backend: onnxruntime\nprecision: fp32\n")
    finished({"a": Found("passed")})
    code, out, err = command("run", "demo", f"output={tmp_path}", f"export.targets=[{kiosk}, {other}]")
    assert code == 0, err
    told = [line.strip() for line in out.splitlines() if "--host" in line]
    assert [line.split()[:2] for line in told] == [["edgedistill", "verify"], ["edgedistill", "bench"]]
    assert all(f"--artifact kiosk --host {kiosk} " in line for line in told)
