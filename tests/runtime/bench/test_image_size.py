"""A model file that takes images of any size is measured at the one that is given."""

import msgspec
import pytest
from bench_cases import run

from edgedistill import runtime
from edgedistill.runtime.bench.plan import PLANS, BenchPlan
from edgedistill.runtime.bench.report import BenchReport
from edgedistill.runtime.bundle import latest_run
from edgedistill.runtime.errors import BundleError, ConfigError


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
