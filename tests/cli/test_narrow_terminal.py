"""On 80 columns no table breaks a name, a heading or an interval, and none loses a column."""

import io

import msgspec
import pytest
from rich.console import Console

from edgedistill.cli.bench_table import bench_report
from edgedistill.cli.bundle_table import bundle_table
from edgedistill.cli.comparison_table import comparison_table
from edgedistill.cli.fleet_table import fleet_report
from edgedistill.cli.render import interval
from edgedistill.cli.tables import print_fitting
from edgedistill.remote.fleet import DeviceResult, FleetReport
from edgedistill.runtime import benchmark, compare, selftest, verify
from edgedistill.runtime.bench.figures import Energy
from edgedistill.runtime.bundle import Bundle, Coverage, ExportParity, open_bundle
from edgedistill.runtime.interval import Interval

NAMES = {"ort-fp32": "onnxruntime-webgpu-fp16", "ov-fp32": "openvino-igpu-int8", "ov-bf16": "tensorrt-desktop-fp16"}


def printed(draw, *given, width=80) -> list[str]:
    text = io.StringIO()
    draw(*given, Console(file=text, width=width, highlight=False, emoji=False))
    return text.getvalue().splitlines()


def renamed(report):
    artifacts = tuple(msgspec.structs.replace(one, name=NAMES[one.name]) for one in report.artifacts)
    return msgspec.structs.replace(report, artifacts=artifacts)


def columns(lines, *headings) -> list[str]:
    """The lines of headings, of which each that is named is in one, unbroken."""
    found = [line for line in lines if line.startswith(("artifact ", "device "))]
    for heading in headings:
        assert sum(f"  {heading}" in line for line in found) == 1, (heading, found)
    assert max(map(len, found)) <= 80
    return found


@pytest.fixture(scope="module")
def bundle(make_tiny_bundle, tmp_path_factory):
    return make_tiny_bundle(tmp_path_factory.mktemp("narrow") / "b")


@pytest.fixture(scope="module")
def bench(bundle, short_bench):
    """Of two artifacts, with an interval that is as long as they come."""
    report = renamed(benchmark(bundle, artifacts=["ort-fp32", "ov-fp32"], preset="demo"))
    long = Interval(estimate=8123.4, low=7123.4, high=9123.4, confidence=0.95)

    def slow(artifact):
        latency = msgspec.structs.replace(artifact.latency, p50=long, p90=long)
        return msgspec.structs.replace(artifact, latency=latency, disturbed="")

    return msgspec.structs.replace(report, artifacts=tuple(map(slow, report.artifacts)))


def with_energy(report):
    """Its first artifact's."""
    watts = Interval(estimate=8.0, low=None, high=None, confidence=0.95)
    energy = Energy(source="RAPL (package-0)", watts=watts, joules_per_image=0.0123)
    first, *others = report.artifacts
    return msgspec.structs.replace(report, artifacts=(msgspec.structs.replace(first, energy=energy), *others))


def test_columns_leave_a_table_group_by_group_and_only_where_they_must():
    rows = [["a" * 10, "b" * 10, "1" * 10, "2" * 10], ["a", "b", "c", "d"]]

    def draw(console):
        print_fitting(console, ["one", "two", "three", "four"], rows, right=["four"], aside=[["four"], ["two"]])

    def headings(width):
        lines = printed(draw, width=width)
        assert max(map(len, lines)) <= width
        found = [line.split() for line in lines if line.startswith("one")]
        assert len(lines) == 3 * len(found)
        return found

    assert headings(46) == [["one", "two", "three", "four"]]
    assert headings(45) == [["one", "two", "three"], ["one", "four"]]
    assert headings(33) == [["one", "three"], ["one", "two"], ["one", "four"]]


def test_a_benchmark(bench):
    lines = printed(bench_report, bench)
    columns(lines, "p50 [95 %]", "p90 [95 %]", "images/s", "disturbed", "peak RSS", "import", "effective", "verdict")
    for artifact in bench.artifacts:
        row = next(line for line in lines if line.startswith(f"{artifact.name} "))
        assert row.count("8123 [7123, 9123]") == 2
    wide = printed(bench_report, bench, width=160)
    assert sum(line.startswith("artifact ") for line in wide) == 3
    assert "mJ/image" not in "".join(wide)
    lines = printed(bench_report, with_energy(bench))
    columns(lines, "mJ/image", "peak RSS", "load", "effective", "verdict")
    assert sum("  12.3  " in line for line in lines if line.startswith(bench.artifacts[0].name)) == 1
    assert "energy: RAPL (package-0), idle power and other processes included" in lines


def test_a_comparison(bench):
    larger = tuple(msgspec.structs.replace(one, bytes=9 * one.bytes) for one in bench.artifacts)
    lines = printed(comparison_table, compare(bench, msgspec.structs.replace(bench, artifacts=larger), force=True))
    headings = ("time", "A ms", "B ms", "B / A [95 %]", "size", "peak RSS", "B is")
    columns(lines, *headings)
    first, second = NAMES["ort-fp32"], NAMES["ov-fp32"]
    lines = printed(comparison_table, compare(bench, bench, artifact=first, against=second, force=True))
    columns(lines, *headings)
    assert sum(line.startswith(f"{first} / {second} ") for line in lines) == 3


def test_a_fleet(bundle, bench, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("path,labels\nred.jpg,red\n")
    judged, tested = renamed(verify(bundle, bundle / "selftest", labels=labels)), renamed(selftest(bundle))
    drop = Interval(estimate=0.034, low=-0.051, high=0.12, confidence=0.95)
    artifacts = tuple(msgspec.structs.replace(one, drop=drop) for one in judged.artifacts)
    judged = msgspec.structs.replace(judged, artifacts=artifacts)
    device = DeviceResult(name="user@raspberrypi5.lan", selftest=tested, verify=judged, bench=bench)
    lines = printed(fleet_report, FleetReport(bundle="b", devices=(device,)))
    headings = columns(lines, "selftest", "verdict", "mAP", "drop", "p50 ms", "p90 ms", "images/s")
    assert all(line.startswith("device ") and "  artifact" in line for line in headings)
    rows = [line for line in lines if line.startswith(device.name)]
    assert {line.split()[1] for line in rows} == set(NAMES.values())
    assert sum(interval(drop, 3) in line for line in rows) == 3
    assert not any("e+0" in line for line in lines)


def test_what_a_bundle_holds(bundle, at_operating_point):
    opened = at_operating_point(open_bundle(bundle), "ort-fp32", 1.25, (0.5,) * 4)
    first, second, third = opened.manifest.artifacts
    why = "the device 'webgpu' is a browser's, where onnxruntime-web loads the same file: open it there."
    replace = msgspec.structs.replace
    artifacts = (
        replace(first, name=NAMES[first.name], status="built_not_run", reason=why),
        replace(second, name=NAMES[second.name], coverage=Coverage(runner="r", convolutions=9, int8=9, in_float=())),
        replace(third, name=NAMES[third.name], parity=ExportParity(images=3, max_abs_logit=1e-6, mean_abs_logit=1e-7)),
    )
    held = Bundle(opened.storage, replace(opened.manifest, artifacts=artifacts), opened.manifest_bytes)
    lines = printed(bundle_table, held)
    columns(lines, "precision", "size", "status", "max |logit diff|", "temperature", "ECE before", "estimated on")
    assert f"built not run  {NAMES['ort-fp32']}: {why}" in lines
    assert f"{NAMES['ov-fp32']}: 9 of 9 convolutions in int8" in lines
