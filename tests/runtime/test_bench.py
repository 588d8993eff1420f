import os
import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime.bench import artifact_run, running, worker
from edgedistill.runtime.bench.messages import Measure
from edgedistill.runtime.bench.plan import PLANS, BenchPlan, choose_plan, queries_for
from edgedistill.runtime.bench.report import BenchInterruptedError, BenchReport
from edgedistill.runtime.bundle import (
    Artifact,
    ExportParity,
    describe_file,
    latest_run,
    open_bundle,
    read_runs,
    read_samples,
)
from edgedistill.runtime.errors import BundleError, ConfigError, InterruptedRunError, MissingDependencyError
from edgedistill.runtime.targets import MOST_THREADS, Target, check_threads, target_problem


def rewrite(root, *artifacts):
    """Write the manifest again with these artifacts."""
    manifest = open_bundle(root).manifest
    manifest = msgspec.structs.replace(manifest, artifacts=artifacts)
    (root / "manifest.json").write_bytes(msgspec.json.encode(manifest))


def with_gates(artifact: Artifact, **gates) -> Artifact:
    return msgspec.structs.replace(artifact, target=msgspec.structs.replace(artifact.target, gates=gates))


def poor_artifact(root) -> Artifact:
    """Its graph has not the output that the manifest promises."""
    good = (root / "onnx" / "model.fp32.onnx").read_bytes()
    assert good.count(b"probabilities") == 2  # of the node that makes it, and of the graph's output
    path = root / "onnx" / "poor.onnx"
    path.write_bytes(good.replace(b"probabilities", b"possibilities"))  # as long: no length in the file changes
    target = Target(name="poor", backend="onnxruntime", precision="fp32")
    return Artifact(name="poor", target=target, files=(describe_file(path, root),), status="verified")


def mark_none(turns):
    """On a machine that tests share no turn is quiet: here all are taken for it."""
    return tuple(msgspec.structs.replace(turn, disturbed_by={}) for turn in turns)


def mark_all(turns):
    return tuple(msgspec.structs.replace(turn, disturbed_by={"others": 0.7}) for turn in turns)


@pytest.fixture(scope="module")
def measured(make_tiny_bundle, tmp_path_factory):
    """One real run over a good, a gated, a poor, a refused, an unavailable and an unexported artifact."""
    root = make_tiny_bundle(tmp_path_factory.mktemp("bench") / "b")
    ort, ov, _ = open_bundle(root).manifest.artifacts
    poor = poor_artifact(root)
    shutil.copy(root / ort.files[0].path, root / "onnx" / "altered.onnx")
    altered = msgspec.structs.replace(ort.files[0], path="onnx/altered.onnx", sha256="0" * 64)
    rewrite(
        root,
        with_gates(ort, max_p95_ms=10_000.0),
        with_gates(ov, max_p95_ms=1e-6),
        poor,
        msgspec.structs.replace(ort, name="altered", files=(altered,)),
        msgspec.structs.replace(ort, name="no-gpu", target=msgspec.structs.replace(ort.target, device="migraphx")),
        msgspec.structs.replace(ort, name="unexported", files=(), status="failed", reason="the converter died"),
    )
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PLANS, "demo", BenchPlan(queries=20, seconds=0.02, rounds=2))
        patch.setattr(artifact_run, "judge_turns", mark_none)
        report = runtime.benchmark(root, preset="demo", threads=1, progress=said.append)
    return root, report, {entry.name: entry for entry in report.artifacts}, said


def test_what_runs_is_measured(measured):
    _, report, found, _ = measured
    for name in ("ort-fp32", "ov-fp32"):
        entry = found[name]
        assert entry.status == "ran"
        assert len(entry.samples_ms) >= report.plan.queries
        assert min(entry.import_ms, entry.load_ms, entry.first_ms, *entry.samples_ms) > 0
        assert report.throughput(entry) == pytest.approx(1000 / np.mean(entry.samples_ms))
        assert entry.latency.turns == len(entry.turns) == 2
        assert sum(turn.samples for turn in entry.turns) == entry.latency.samples == len(entry.samples_ms)
        assert entry.latency.p50.low <= entry.p50_ms <= entry.latency.p50.high
        assert entry.effective["threads"] == "1"
        assert 10e6 < entry.peak_rss_bytes < 2e9
        assert entry.sha256
    assert found["ov-fp32"].effective["precision"] == "fp32"
    assert report.preprocess_ms > 0


def test_a_latency_gate_lengthens_the_plan_and_is_judged(measured):
    _, report, found, _ = measured
    assert report.plan.queries == queries_for(0.95)
    (met,), (missed,) = found["ort-fp32"].gates, found["ov-fp32"].gates
    assert (met.verdict, found["ort-fp32"].verdict) == ("passed", "passed")
    assert met.observed == found["ort-fp32"].p95_ms
    assert (missed.verdict, found["ov-fp32"].verdict) == ("failed", "failed")
    assert "p95 latency" in missed.sentence
    assert (report.verdict, report.exit_code) == ("failed", 1)


def test_what_does_not_run_says_why_and_stops_nothing(measured):
    found = measured[2]
    assert found["poor"].status == "failed"
    assert "its graph has no output 'probabilities'" in found["poor"].reason
    assert found["altered"].status == "failed"
    assert "SHA-256" in found["altered"].reason
    assert found["no-gpu"].status == "could_not_run"
    assert "onnxruntime-migraphx" in found["no-gpu"].reason
    assert found["unexported"].status == "could_not_run"
    assert found["unexported"].reason == "not in the bundle: the converter died"


def test_artifacts_take_turns_in_an_order_that_rotates(measured):
    said = measured[3]
    assert [text for text in said if text.startswith("round")] == [
        "round 1 of 2: ort-fp32",
        "round 1 of 2: ov-fp32",
        "round 2 of 2: ov-fp32",
        "round 2 of 2: ort-fp32",
    ]


def test_the_report_is_kept_and_reads_back(measured):
    root, report, _, _ = measured
    assert report.saved
    ((run,),) = read_runs(root).values()
    stored = run.decode(BenchReport)
    assert stored == msgspec.structs.replace(report, saved=None).without_samples()
    assert stored.with_samples(read_samples(Path(report.saved))) == msgspec.structs.replace(report, saved=None)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_folder_whose_name_is_not_utf_8(make_tiny_bundle, tmp_path, monkeypatch):
    """It is measured, or where the library cannot open such a path a line says so; never a UnicodeEncodeError."""
    root = make_tiny_bundle(tmp_path / os.fsdecode(b"caf\xe9"))
    told = ""
    try:
        report = run(root, monkeypatch)
    except BundleError as refused:
        told = str(refused)
    else:
        assert report.artifacts[0].status == "ran"
        assert r"caf\xe9" in report.saved
    assert not told or ("ort-fp32: " in told and "\n" not in told)


def test_an_artifact_without_files_is_judged_as_selftest_does(make_tiny_bundle, tmp_path, monkeypatch):
    """One that the export found wrong failed, one whose toolchain was missing could not run."""
    root = make_tiny_bundle(tmp_path / "b")
    ort, ov, bf16 = open_bundle(root).manifest.artifacts
    parity = ExportParity(images=3, max_abs_logit=9.0, mean_abs_logit=5.0)
    rewrite(
        root,
        ort,
        msgspec.structs.replace(ov, files=(), status="failed", reason="its logits are 9 off", parity=parity),
        msgspec.structs.replace(bf16, files=(), status="failed", reason="the converter is not installed"),
    )
    benched = run(root, monkeypatch, artifacts=None)
    tested = runtime.selftest(root)
    assert [entry.verdict for entry in benched.artifacts][1:] == ["failed", "could not run"]
    assert [entry.verdict for entry in tested.artifacts][1:] == ["failed", "could not run"]
    assert [entry.reason for entry in benched.artifacts][1:] == [entry.sentence for entry in tested.artifacts][1:]
    assert benched.exit_code == 1


def test_a_device_word_that_a_backend_does_not_know_could_not_run(make_tiny_bundle, tmp_path, monkeypatch):
    """As in verify and selftest: the word was the caller's, the artifact did not fail."""
    root = make_tiny_bundle(tmp_path / "b")
    with pytest.raises(MissingDependencyError) as benched:
        run(root, monkeypatch, device="npu")
    with pytest.raises(MissingDependencyError) as tested:
        runtime.selftest(root, artifacts=["ort-fp32"], device="npu")
    assert str(benched.value) == str(tested.value)
    assert "ort-fp32: unknown onnxruntime device 'npu'" in str(benched.value)


def test_nothing_that_runs_is_an_error(make_tiny_bundle, tmp_path):
    root = make_tiny_bundle(tmp_path / "b")
    ort = open_bundle(root).manifest.artifacts[0]
    rewrite(root, msgspec.structs.replace(ort, files=(), status="failed", reason="the converter died"))
    with pytest.raises(MissingDependencyError, match="the converter died"):
        runtime.benchmark(root, preset="demo")


def test_wrong_options_are_refused_before_anything_is_started(tiny_bundle):
    with pytest.raises(ConfigError, match="unknown bench preset 'fast': one of demo, smoke, quick, full"):
        runtime.benchmark(tiny_bundle, preset="fast")
    with pytest.raises(ConfigError, match="ort-fp32: takes batches of 1 to 4 images, not 5"):
        runtime.benchmark(tiny_bundle, batch_size=5)
    with pytest.raises(BundleError, match="holds no artifact 'nope'"):
        runtime.benchmark(tiny_bundle, artifacts=["nope"])


ANYTHING_WITH_THREADS = {
    "benchmark": runtime.benchmark,
    "load": runtime.load,
    "load_file": runtime.load_file,
    "selftest": runtime.selftest,
    "verify": lambda path, threads: runtime.verify(path, "no-labels.csv", threads=threads),
}


@pytest.mark.parametrize("what", ANYTHING_WITH_THREADS)
@pytest.mark.parametrize(
    ("threads", "told"),
    [
        (0, "threads 0: needs 1 to 1024; leave it out for the default."),
        (-3, "threads -3: needs 1 to 1024; leave it out for the default."),
        (1025, "threads 1025: needs 1 to 1024; leave it out for the default."),
        ("2", "threads: needs a whole number, 1 to 1024, not a str; leave it out for the default."),
        (2.0, "threads: needs a whole number, 1 to 1024, not a float; leave it out for the default."),
        (True, "threads: needs a whole number, 1 to 1024, not a bool; leave it out for the default."),
    ],
)
def test_impossible_threads_are_one_line_before_anything_is_opened(what, threads, told):
    with pytest.raises(ConfigError) as refused:
        ANYTHING_WITH_THREADS[what]("no-such-bundle", threads=threads)
    assert str(refused.value) == told


def test_the_most_threads_are_the_same_in_options_and_deploy_configs():
    from edgedistill.cli import options

    assert (check_threads(MOST_THREADS), check_threads(1), check_threads(None)) == (None, None, None)
    assert target_problem(Target(name="t", backend="b", precision="fp32", threads=MOST_THREADS)) == ""
    assert "threads 1025" in target_problem(Target(name="t", backend="b", precision="fp32", threads=MOST_THREADS + 1))
    assert options.MOST_THREADS == MOST_THREADS


def test_without_a_preset_the_longest_of_the_deploy_configs_counts(tiny_bundle):
    first, second, _ = open_bundle(tiny_bundle).manifest.artifacts
    full = msgspec.structs.replace(first, target=msgspec.structs.replace(first.target, bench="full"))
    assert choose_plan(None, [second, full], 1) == ("full", PLANS["full"])
    assert choose_plan("smoke", [second, full], 1)[0] == "smoke"


def run(bundle, patch, judge=mark_none, *, rounds=2, **options) -> BenchReport:
    """A short run of `ort-fp32` whose turns are judged by `judge`."""
    patch.setitem(PLANS, "demo", BenchPlan(queries=100, seconds=0.0, rounds=rounds))
    patch.setattr(artifact_run, "judge_turns", judge)
    patch.setattr(artifact_run, "_WARM_UP", Measure(queries=1, seconds=0.0))
    return runtime.benchmark(bundle, **{"artifacts": ["ort-fp32"], "preset": "demo", **options})


def gated(root, limit: float):
    """The bundle with a latency gate on its first artifact."""
    ort, *others = open_bundle(root).manifest.artifacts
    rewrite(root, with_gates(ort, max_p95_ms=limit), *others)
    return root


def test_disturbed_turns_are_measured_again_up_to_a_limit_and_decide_no_gate(make_tiny_bundle, tmp_path, monkeypatch):
    said = []
    report = run(gated(make_tiny_bundle(tmp_path / "b"), 1e-6), monkeypatch, mark_all, rounds=4, progress=said.append)
    (artifact,) = report.artifacts
    assert [turn.round for turn in artifact.turns] == [1, 2, 3, 4, 5, 6]
    assert report.rounds == 6
    assert said[-1] == "round 6 of 4, disturbed turns again: ort-fp32"
    assert report.disturbed
    assert artifact.disturbed == "6 of 6 turns disturbed: other processes used 70 % of the cores"
    assert artifact.latency.samples == len(artifact.samples_ms)  # too few quiet ones: all count, and it is said
    (gate,) = artifact.gates
    assert (gate.verdict, report.verdict, report.exit_code) == ("undecided", "undecided", 4)
    assert "other processes used 70 % of the cores; measure on a quiet machine" in gate.sentence


def test_only_quiet_turns_count_where_enough_are(make_tiny_bundle, tmp_path, monkeypatch):
    def mark_the_first(turns):
        return tuple(
            msgspec.structs.replace(turn, disturbed_by={"steal": 0.5} if turn.round == 1 else {}) for turn in turns
        )

    report = run(gated(make_tiny_bundle(tmp_path / "b"), 1e4), monkeypatch, mark_the_first, rounds=4)
    (artifact,) = report.artifacts
    assert [turn.round for turn in artifact.turns] == [1, 2, 3, 4, 5]  # one again, and no more
    quiet = [value for values in artifact.turn_samples()[1:] for value in values]
    assert artifact.latency.samples == len(quiet) == 200
    assert artifact.p50_ms == pytest.approx(np.median(quiet))
    assert (artifact.disturbed, artifact.disturbed_turns, report.disturbed) == ("", 1, False)
    assert artifact.evidence == "the hypervisor gave 50 % of the time to other machines"
    assert report.verdict == "passed"


def test_a_gate_is_undecided_where_the_evidence_is_one_turn(make_tiny_bundle, tmp_path, monkeypatch):
    report = run(gated(make_tiny_bundle(tmp_path / "b"), 1e-6), monkeypatch, rounds=1)
    (gate,) = report.artifacts[0].gates
    assert gate.verdict == "undecided"
    assert "one turn: no interval; a longer preset would tell" in gate.sentence


def test_evidence_comes_with_every_turn(make_tiny_bundle, tmp_path, monkeypatch):
    report = run(make_tiny_bundle(tmp_path / "b"), monkeypatch)
    for turn in report.artifacts[0].turns:
        seen = turn.evidence
        assert 0 < seen.canary_floor_ms <= seen.canary_ms
        assert seen.seconds > 0
        if Path("/proc/self/schedstat").exists():
            assert min(seen.switches, seen.waited) >= 0


def test_one_at_a_time_holds_one_process(make_tiny_bundle, tmp_path, monkeypatch):
    alive, most, starts = set(), [], []

    class Counted(artifact_run.Worker):
        def __init__(self):
            super().__init__()
            alive.add(self)
            starts.append(self)
            most.append(len(alive))

        def close(self):
            super().close()
            alive.discard(self)

    monkeypatch.setattr(artifact_run, "Worker", Counted)
    root = make_tiny_bundle(tmp_path / "b")
    report = run(root, monkeypatch, artifacts=["ort-fp32", "ov-fp32"], one_at_a_time=True)
    assert (max(most), len(starts), len(alive)) == (1, 4, 0)
    assert report.one_at_a_time
    assert [len(artifact.turns) for artifact in report.artifacts] == [2, 2]
    most.clear()
    run(root, monkeypatch, artifacts=["ort-fp32", "ov-fp32"])
    assert (max(most), len(starts), len(alive)) == (2, 6, 0)


@pytest.fixture
def exchange(make_tiny_bundle, tmp_path):
    """A bundle and a function that puts another in its place, intact and with artifacts of the same names."""
    root, other = make_tiny_bundle(tmp_path / "b"), make_tiny_bundle(tmp_path / "other")
    file = other / "onnx" / "model.fp32.onnx"
    file.write_bytes(file.read_bytes() + b"\x12\x01x")  # ModelProto's producer_name: the same graph in another file
    ort, *others = open_bundle(other).manifest.artifacts
    rewrite(other, msgspec.structs.replace(ort, files=(describe_file(file, other),)), *others)

    def swap(text: str) -> None:
        if text == "round 2 of 2: ov-fp32":
            shutil.copytree(other, root, dirs_exist_ok=True)

    return root, swap


def test_a_bundle_that_is_exchanged_between_turns_is_refused(exchange, monkeypatch):
    root, swap = exchange
    names = ["ort-fp32", "ov-fp32"]
    report = run(root, monkeypatch, artifacts=names, one_at_a_time=True, progress=swap)
    other, refused = sorted(report.artifacts, key=lambda entry: entry.name, reverse=True)
    assert (other.status, len(other.turns)) == ("ran", 2)  # its process had loaded it before
    assert (refused.status, refused.turns) == ("failed", ())
    assert refused.reason == f"{root}: was exchanged while it was measured: run it again."
    again = run(root, monkeypatch, artifacts=names, one_at_a_time=True)
    assert again.manifest_sha256 != report.manifest_sha256
    assert {entry.status for entry in again.artifacts} == {"ran"}


def test_a_photograph_that_is_altered_meanwhile_costs_its_own_figure_alone(
    make_tiny_bundle, tmp_path, monkeypatch, caplog
):
    root = make_tiny_bundle(tmp_path / "b")
    report = run(root, monkeypatch, progress=lambda _: (root / "selftest" / "red.jpg").write_bytes(b"other"))
    assert (report.artifacts[0].status, report.preprocess_ms) == ("ran", None)
    assert report.saved
    assert "the preprocessing was not measured: " in caplog.text


@pytest.mark.parametrize(("main", "changed"), [("model.onnx", "model.onnx"), ("model.xml", "model.bin")])
def test_a_model_file_that_is_exchanged_between_turns_is_refused(tiny_bundle, tmp_path, monkeypatch, main, changed):
    for path in (tiny_bundle / "onnx" / "model.fp32.onnx", *(tiny_bundle / "openvino").iterdir()):
        shutil.copy(path, tmp_path / path.name.replace(".fp32", ""))

    def swap(text: str) -> None:
        if text == f"round 1 of 2: {main}":
            file = tmp_path / changed
            added = b"\x12\x01x" if changed.endswith(".onnx") else b"\0"
            file.write_bytes(file.read_bytes() + added)

    with pytest.raises(BundleError, match="was exchanged while it was measured: run it again") as refused:
        run(tmp_path / main, monkeypatch, artifacts=None, one_at_a_time=True, progress=swap)
    assert "\n" not in str(refused.value)
    assert run(tmp_path / main, monkeypatch, artifacts=None).artifacts[0].status == "ran"


def test_names_that_numpy_s_savez_takes_for_its_own_lose_nothing(make_tiny_bundle, tmp_path, monkeypatch):
    root = make_tiny_bundle(tmp_path / "b")
    ort = open_bundle(root).manifest.artifacts[0]
    names = ["file", "allow_pickle", "args", "kwds", "arr_0"]
    rewrite(root, *(msgspec.structs.replace(ort, name=name) for name in names))
    report = run(root, monkeypatch, artifacts=None, one_at_a_time=True)
    assert [artifact.name for artifact in report.artifacts] == names
    (stored,) = (found.decode(BenchReport) for runs in read_runs(root).values() for found in runs)
    whole = msgspec.structs.replace(report, saved=None)
    assert stored.with_samples(read_samples(Path(report.saved))) == whole
    assert all(len(artifact.samples_ms) >= 100 for artifact in report.artifacts)


def test_a_process_killed_while_it_measures_stops_nothing(make_tiny_bundle, tmp_path, monkeypatch):
    made = []

    class Known(artifact_run.Worker):
        def __init__(self):
            super().__init__()
            made.append(self)

    def kill_the_first(text):
        if text == "round 2 of 2: ov-fp32":
            made[0]._process.kill()

    monkeypatch.setattr(artifact_run, "Worker", Known)
    root = make_tiny_bundle(tmp_path / "b")
    report = run(root, monkeypatch, artifacts=["ort-fp32", "ov-fp32"], progress=kill_the_first)
    killed, other = report.artifacts
    assert killed.status == "failed"
    assert killed.reason.startswith("its process ended ")
    assert (other.status, len(other.turns)) == ("ran", 2)


class Interrupt:
    """Ctrl-C when the progress says `when`."""

    def __init__(self, when: str) -> None:
        self.when = when

    def __call__(self, text: str) -> None:
        if text == self.when:
            raise KeyboardInterrupt


@pytest.mark.parametrize("when", ["loading ort-fp32", "round 1 of 3: ort-fp32"])
def test_interrupted_before_a_round_is_complete_nothing_is_kept(make_tiny_bundle, tmp_path, monkeypatch, when):
    root = make_tiny_bundle(tmp_path / "b")
    with pytest.raises(InterruptedRunError, match="nothing was measured yet") as caught:
        run(root, monkeypatch, rounds=3, progress=Interrupt(when))
    assert caught.value.exit_code == 130
    assert read_runs(root) == {}


@pytest.mark.parametrize(("when", "rounds"), [("round 2 of 3: ort-fp32", 1), ("round 3 of 3: ov-fp32", 2)])
def test_interrupted_later_the_complete_rounds_are_kept(make_tiny_bundle, tmp_path, monkeypatch, when, rounds):
    root = make_tiny_bundle(tmp_path / "b")
    with pytest.raises(BenchInterruptedError, match=rf"the first {rounds} rounds? of 3 planned: kept in") as caught:
        run(root, monkeypatch, rounds=3, artifacts=["ort-fp32", "ov-fp32"], progress=Interrupt(when))
    report = caught.value.report
    assert report.saved in str(caught.value)
    assert (report.interrupted, report.rounds) == (True, rounds)
    assert [len(artifact.turns) for artifact in report.artifacts] == [rounds, rounds]
    assert all(artifact.latency.samples == 34 * rounds for artifact in report.artifacts)
    assert latest_run(root, "bench").decode(BenchReport).interrupted


@pytest.fixture
def any_size(tiny_bundle, tmp_path):
    """The tiny graph with its input's height and width open."""
    good = (tiny_bundle / "onnx" / "model.fp32.onnx").read_bytes()
    fixed, without_name = b"\n\x02\x08\x10", b"\n\x02\x12\x00"  # a dimension: dim_value 16, an empty dim_param
    assert good.count(fixed) == 2
    (tmp_path / "fixed.onnx").write_bytes(good)
    path = tmp_path / "any.onnx"
    path.write_bytes(good.replace(fixed, without_name))
    return path


@pytest.mark.parametrize(("size", "made"), [(8, (8, 8)), ((8, 6), (8, 6)), ([8, 6], (8, 6))])
def test_a_model_file_that_takes_any_size_is_measured_at_the_given_one(any_size, monkeypatch, size, made):
    report = run(any_size, monkeypatch, artifacts=None, size=size)
    assert report.artifacts[0].status == "ran"
    assert report.size == made
    assert latest_run(any_size, "bench").decode(BenchReport).size == made


def test_a_model_file_that_takes_any_size_needs_one(any_size, monkeypatch):
    with pytest.raises(BundleError, match=r"takes images of any size: say which, e.g. --size 224") as refused:
        run(any_size, monkeypatch, artifacts=None)
    assert "\n" not in str(refused.value)
    with pytest.raises(BundleError, match="--size says another"):
        run(any_size.with_name("fixed.onnx"), monkeypatch, artifacts=None, size=8)


@pytest.mark.parametrize("size", [0, -8, "224", 2.0, True, (8,), (8, 0), (8, 8, 3)])
def test_a_size_that_is_none_is_refused(any_size, size):
    with pytest.raises(ConfigError, match="needs pixels above 0, as in 224, or height and width, as in 224x320"):
        runtime.benchmark(any_size, size=size)


def test_a_bundle_has_its_size(tiny_bundle):
    with pytest.raises(ConfigError, match="is a bundle, whose graphs have their size: leave out --size"):
        runtime.benchmark(tiny_bundle, size=16)


def test_the_command_takes_a_size(any_size, tiny_bundle, command, monkeypatch):
    monkeypatch.setitem(PLANS, "demo", BenchPlan(queries=20, seconds=0.0, rounds=1))
    code, out, err = command("bench", any_size, "--preset", "demo", "--size", "8x6", "--json")
    assert code == 0, err
    assert msgspec.json.decode(out)["size"] == [8, 6]
    code, out, err = command("bench", any_size, "--size", "8x")
    assert (code, out) == (2, "")
    assert "--size 8x: give pixels as in --size 224" in err
    assert "leave out --size" in command("bench", tiny_bundle, "--size", "8")[2]


def test_both_minimums_must_be_met(monkeypatch):
    monkeypatch.setattr(worker, "timed", lambda infer: (250.0, infer()))
    calls = []
    assert len(worker.measure(lambda: calls.append(1), Measure(queries=7, seconds=0.0)).samples_ms) == 7
    assert len(calls) == 3 + 7
    long = worker.measure(lambda: None, Measure(queries=1, seconds=10.0)).samples_ms
    assert long == [250.0] * 40


def test_the_canary_runs_before_between_and_after(monkeypatch):
    bursts, calls = [], []
    monkeypatch.setattr(worker.Canary, "burst", lambda self: bursts.append(len(calls)) or self._times.append(0.001))
    monkeypatch.setattr(worker, "timed", lambda infer: (2.0, infer()))
    worker.measure(lambda: calls.append(1), Measure(queries=60, seconds=0.0))
    # Every 50 ms of short inferences, each burst followed by one that is not counted: 25 counted ones between two.
    assert bursts == [3, 28, 54, 65]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="VmHWM is Linux's")
def test_a_worker_s_memory_is_not_its_parent_s(tiny_bundle, monkeypatch):
    ballast = np.ones(60_000_000)  # 480 MB, resident
    monkeypatch.setattr(running, "save_or_say", lambda source, kind, report, **_: report)
    (entry,) = run(tiny_bundle, monkeypatch, rounds=1).artifacts
    assert worker.peak_rss() > ballast.nbytes
    assert entry.peak_rss_bytes < ballast.nbytes
