"""Gates on p90, memory and size: from the deploy config, from the caller, and in which scenario they count."""

import msgspec
import pytest
from bench_cases import rewrite, run, with_gates

from edgedistill.runtime.bench.gates import judge_limits, limits_of, queries_for_gates
from edgedistill.runtime.bench.running import benchmark
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.targets import Gates


@pytest.fixture
def root(make_tiny_bundle, tmp_path):
    return make_tiny_bundle(tmp_path / "b")


def verdicts(report) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in report.artifacts[0].gates}


def test_the_deploy_config_s_gates_are_judged(root, monkeypatch):
    ort, *others = open_bundle(root).manifest.artifacts
    rewrite(root, with_gates(ort, max_p90_ms=1e4, max_rss=10**12, max_bytes=10), *others)
    report = run(root, monkeypatch)
    assert verdicts(report) == {"max_p90_ms": "passed", "max_rss": "passed", "max_bytes": "failed"}
    assert (report.verdict, report.exit_code) == ("failed", 1)
    gates = {gate.name: gate for gate in report.artifacts[0].gates}
    assert gates["max_p90_ms"].observed == report.artifacts[0].p90_ms
    assert gates["max_rss"].observed == report.artifacts[0].peak_rss_bytes
    assert gates["max_bytes"].sentence.startswith("size 0.0")


def test_the_caller_s_gates_overrule_them(root, monkeypatch):
    ort, *others = open_bundle(root).manifest.artifacts
    rewrite(root, with_gates(ort, max_p90_ms=1e-6, max_rss=10**12), *others)
    report = run(root, monkeypatch, limits=Gates(max_p90_ms=1e4))
    assert verdicts(report) == {"max_p90_ms": "passed", "max_rss": "passed"}
    report = run(root, monkeypatch, limits={"max_rss": 1000})  # as it comes to a device
    assert verdicts(report) == {"max_p90_ms": "failed", "max_rss": "failed"}


def test_a_latency_s_gate_is_for_single_images_and_memory_s_for_all(root, monkeypatch):
    ort, *others = open_bundle(root).manifest.artifacts
    rewrite(root, with_gates(ort, max_p90_ms=1e-6, max_p95_ms=1e-6, max_rss=10**12), *others)
    assert verdicts(run(root, monkeypatch, batch_size=4)) == {"max_rss": "passed"}


@pytest.mark.parametrize("options", [{"batch_size": 4}, {"scenario": "throughput"}, {"max_p99_ms": 50}])
def test_a_limit_that_nothing_would_judge_is_refused(root, options):
    with pytest.raises(ConfigError, match=r"--max-p90-ms \(`max_p90_ms`\): is judged on the latency of single images"):
        benchmark(root, limits=Gates(max_p90_ms=40), **options)


def test_memory_that_the_system_does_not_tell_is_undecided(root, monkeypatch):
    entry = msgspec.structs.replace(run(root, monkeypatch).artifacts[0], peak_rss_bytes=None)
    (gate,) = judge_limits(Gates(max_rss=10**9), entry)
    assert gate.verdict == "undecided"
    assert "this system does not tell" in gate.sentence


def test_a_gate_needs_its_quantile(root):
    assert [queries_for_gates(Gates(**{name: 1.0})) for name in ("max_p90_ms", "max_p95_ms")] == [100, 200]
    assert queries_for_gates(Gates(max_rss=1)) == 0
    with pytest.raises(ConfigError, match=r"--max-rss 0 \(`max_rss`\): needs more than 0"):
        limits_of(open_bundle(root).manifest.artifacts[0], Gates(max_rss=0))
