"""What may be compared, what is refused or told, and how the gates and exit codes follow."""

import msgspec
import numpy as np
import pytest
from made_up import artifact, report

from edgedistill import runtime
from edgedistill.runtime.bench.figures import Offline, Server
from edgedistill.runtime.bundle.results import Run
from edgedistill.runtime.device import describe_device
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.interval import Interval
from edgedistill.runtime.targets import Gates


def made(ms: float = 10.0, seed: int = 0, name: str = "a", **fields):
    return artifact(np.random.default_rng(seed), ms=ms, name=name, **fields)


def test_a_report_a_file_of_results_and_printed_json_are_the_same(tmp_path):
    a, b = report(made()), report(made(20.0, seed=1))
    run = Run(kind="bench", created=b.created, device=describe_device(), report=msgspec.Raw(msgspec.json.encode(b)))
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(run))
    (tmp_path / "printed.json").write_bytes(msgspec.json.encode({"verdict": "passed", **msgspec.to_builtins(b)}))
    found = [runtime.compare(a, side) for side in (b, tmp_path / "run.json", str(tmp_path / "printed.json"))]
    assert [one.artifacts for one in found] == [found[0].artifacts] * 3
    assert found[0].artifacts[0].verdict == "slower"
    assert found[0].artifacts[0].ratio.estimate == pytest.approx(2.0, rel=0.1)


def test_a_folder_is_the_runs_in_it(tmp_path):
    folders = tmp_path / "a", tmp_path / "b"
    for folder, ms in zip(folders, (10.0, 20.0), strict=True):
        folder.mkdir()
        for seed in range(3):
            (folder / f"{seed}.json").write_bytes(msgspec.json.encode(report(made(ms, seed + int(ms)))))
        verify = Run(kind="verify", created="", device=describe_device(), report=msgspec.Raw(b"{}"))
        (folder / "verify.json").write_bytes(msgspec.json.encode(verify))
    (found,) = runtime.compare(*folders).artifacts
    assert (found.verdict, found.unit, found.units) == ("slower", "runs", (3, 3))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "is not valid JSON"),
        (b"[1]", "is no benchmark"),
        (b'{"plan": 1, "preset": "demo", "artifacts": 3}', "was written by another edgedistill"),
        (None, "no such file"),
    ],
)
def test_what_is_no_benchmark_is_one_line(tmp_path, content, told):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(runtime.EdgedistillError, match=told) as refused:
        runtime.compare(report(made()), path)
    assert "x.json" in str(refused.value)


def test_a_bundle_and_an_empty_folder_are_told(tiny_bundle, tmp_path):
    with pytest.raises(ConfigError, match="is a bundle: give a file of its results/"):
        runtime.compare(report(made()), tiny_bundle)
    with pytest.raises(ConfigError, match="holds no benchmark"):
        runtime.compare(report(made()), tmp_path)
    with pytest.raises(ConfigError, match="a side without a benchmark"):
        runtime.compare(report(made()), [])


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"device": "another-machine"}, "device (a-machine-x86_64 against another-machine)"),
        ({"scenario": "batch"}, "scenario (single against batch)"),
        ({"size": (224, 224)}, "image size (not said against (224, 224))"),
    ],
)
def test_times_of_different_things_are_refused_unless_insisted(changed, what):
    a, b = report(made()), report(made(seed=1), **changed)
    with pytest.raises(ConfigError) as refused:
        runtime.compare(a, b)
    assert what in str(refused.value)
    assert "--force" in str(refused.value)
    (difference,) = runtime.compare(a, b, force=True).differences
    assert difference.forbids


def test_a_folder_of_runs_that_differ_among_themselves_is_told_so():
    mixed = [report(made()), report(made(seed=1), scenario="batch")]
    with pytest.raises(ConfigError, match=r"runs of one side differ among themselves: scenario \(single, batch\)"):
        runtime.compare(mixed, mixed)


def test_another_batch_is_refused_also_of_the_first_versions():
    a, b = report(made()), report(made(seed=1, batch_size=4))
    with pytest.raises(ConfigError, match="batch size"):
        runtime.compare(a, b)
    old = report(made(seed=1, batch_size=None), batch_size=4)
    with pytest.raises(ConfigError, match="batch size"):
        runtime.compare(a, old)


def test_another_file_library_and_threads_are_told():
    other = made(seed=1, sha256="0" * 64, effective={"library": "onnxruntime 1.33.0", "threads": "1"})
    found = runtime.compare(report(made()), report(other, preset="full"))
    assert {(one.what, one.b) for one in found.differences} == {
        ("preset", "full"),
        ("file", "0" * 12),
        ("effective library", "onnxruntime 1.33.0"),
        ("effective threads", "1"),
    }
    assert not any(one.forbids for one in found.differences)


def test_artifacts_are_paired_by_name_or_as_said():
    a = report(made(), made(20.0, name="b"), made(name="x"))
    b = report(made(seed=1), made(20.0, seed=2, name="b"), made(name="y"))
    found = runtime.compare(a, b)
    assert [one.name for one in found.artifacts] == ["a", "b"]
    assert (found.only_a, found.only_b) == (("x",), ("y",))
    (found,) = runtime.compare(a, b, artifact="a", against="b").artifacts
    assert (found.name, found.other, found.verdict) == ("a", "b", "slower")
    (found,) = runtime.compare(report(made()), report(made(seed=1, name="renamed"))).artifacts
    assert (found.name, found.other) == ("a", "renamed")
    for options, told in (
        ({"artifact": "z"}, "has no measured artifact 'z'; it has a, b, x"),
        ({"artifact": "a", "against": "x"}, "has no measured artifact 'x'; it has a, b, y"),
        ({"against": "b"}, "goes with --artifact"),
    ):
        with pytest.raises(ConfigError, match=told):
            runtime.compare(a, b, **options)
    with pytest.raises(ConfigError, match="is compared with itself"):
        runtime.compare(a, a)
    with pytest.raises(ConfigError, match="have no artifact in common"):
        runtime.compare(report(made(name="p"), made(name="q")), report(made(name="r"), made(name="s")))


def test_one_process_tells_nothing():
    (found,) = runtime.compare(report(made(processes=1, turns=4)), report(made(30.0, seed=1))).artifacts
    assert (found.verdict, found.ratio.low) == ("cannot tell", None)
    assert found.ratio.estimate == pytest.approx(3.0, rel=0.2)
    assert "A has one process" in found.reason
    assert "--preset quick" in found.reason


def test_a_disturbed_side_tells_nothing_and_a_disturbed_run_among_others_is_left_out():
    bad = made(99.0, seed=3, disturbed="3 of 5 turns disturbed")
    (found,) = runtime.compare(report(made()), report(bad)).artifacts
    assert found.verdict == "cannot tell"
    assert found.reason == "B was disturbed (3 of 5 turns disturbed): measure it again"
    sides = [report(made(seed=1)), report(made(seed=2)), report(bad)]
    (found,) = runtime.compare([report(made(seed=4)), report(made(seed=5))], sides).artifacts
    assert found.units == (2, 2)
    assert found.b_ms == pytest.approx(10.0, rel=0.1)


def test_disturbed_turns_do_not_count():
    noisy = made()
    turns = tuple(
        msgspec.structs.replace(turn, p50_ms=500.0, disturbed_by={"others": 0.5}) if turn.process == 2 else turn
        for turn in noisy.turns
    )
    (found,) = runtime.compare(report(msgspec.structs.replace(noisy, turns=turns)), report(made(seed=1))).artifacts
    assert found.units == (4, 5)
    assert found.a_ms == pytest.approx(10.0, rel=0.1)


def test_throughput_and_a_server_s_rate():
    def offline(rate: float, seed: int):
        entry = made(seed=seed)
        turns = tuple(msgspec.structs.replace(turn, inferences_per_s=10 * rate / turn.p50_ms) for turn in entry.turns)
        images = Interval(estimate=rate, low=None, high=None, confidence=0.95)
        offline = Offline(images_per_s=images, streams=2, p50_ms=1.0, p90_ms=1.0)
        return report(msgspec.structs.replace(entry, turns=turns, latency=None, offline=offline), scenario="throughput")

    (found,) = runtime.compare(offline(100.0, 0), offline(200.0, 1)).artifacts
    assert (found.verdict, found.what) == ("faster", "time per inference")
    assert found.ratio.estimate == pytest.approx(0.5, rel=0.1)

    def server(rate: float | None):
        found = Server(max_p99_ms=9.0, rate=rate, p99_ms=8.0, streams=1, capacity=99.0, trials=())
        return report(made(server=found), scenario="server", max_p99_ms=9.0)

    runs = [[server(rate) for rate in rates] for rates in ((50.0, 51.0, 49.0), (70.0, 71.0, 69.0))]
    (found,) = runtime.compare(*runs).artifacts
    assert (found.verdict, found.unit) == ("faster", "runs")
    (found,) = runtime.compare(server(50.0), server(None)).artifacts
    assert found.reason == "B holds no such time"


@pytest.mark.parametrize(
    ("ms", "options", "verdict", "code"),
    [
        (8.0, {}, "passed", 0),
        (12.0, {}, "failed", 1),
        (10.0, {}, "undecided", 4),
        (10.0, {"max_slowdown": 15}, "passed", 0),
        (12.0, {"max_slowdown": 40}, "passed", 0),
        (12.0, {"max_slowdown": 5}, "failed", 1),
        (12.0, {"max_slowdown": 20}, "undecided", 4),
        (8.0, {"limits": Gates(max_rss=10)}, "failed", 1),
        (8.0, {"limits": Gates(max_rss=10**9, max_bytes=10**7)}, "passed", 0),
        (10.0, {"limits": Gates(max_bytes=10**7)}, "undecided", 4),
    ],
)
def test_the_exit_code_follows_from_the_speed_and_the_gates(ms, options, verdict, code):
    found = runtime.compare(report(made()), report(made(ms, seed=1)), **options)
    assert (found.verdict, found.exit_code) == (verdict, code)


def test_impossible_options_are_one_line():
    a, b = report(made()), report(made(seed=1))
    for options, told in (
        ({"confidence": 1.0}, "confidence 1: needs more than 0"),
        ({"max_slowdown": -1.0}, "--max-slowdown -1"),
        ({"max_slowdown": float("nan")}, "--max-slowdown nan"),
        ({"limits": Gates(max_bytes=-1)}, "--max-bytes -1"),
        ({"limits": Gates(max_p90_ms=40)}, "--max-p90-ms .* none is measured here"),
    ):
        with pytest.raises(ConfigError, match=told):
            runtime.compare(a, b, **options)


def test_another_version_s_scenario_is_one_line():
    one = report(made(), scenario="stampede")
    with pytest.raises(ConfigError, match="the scenario 'stampede' is none of single, batch"):
        runtime.compare(one, report(made(seed=1), scenario="stampede"))


def test_a_comparison_reads_back():
    found = runtime.compare(report(made()), report(made(seed=1)))
    assert msgspec.json.decode(msgspec.json.encode(found), type=runtime.Comparison) == found
