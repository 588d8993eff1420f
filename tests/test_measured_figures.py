"""What the pages say was measured is in the records, and the records keep what the pages promise."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    return " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split())


def record(name: str) -> dict:
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8"))


def test_bench_agrees_with_the_vendors_own_tools():
    found = record("vendor_tools.json")["agreements"]
    tools = [one["tool"].split(",")[0] for one in found]
    assert sorted(tools) == ["benchmark_app", "litert-benchmark", "profiler"]
    assert all(0.95 <= one["ratio"] <= 1.05 for one in found)
    ratios = dict(zip(tools, (one["ratio"] for one in found), strict=True))
    told = [
        f"{ratios[tool]:.2f}" for tool in ("benchmark_app", "litert-benchmark", "profiler")
    ]  # as the page lists them
    assert f"`bench` found {told[0]}, {told[1]} and {told[2]} times their medians" in page("bench.md")


def test_the_bootstrap_takes_less_than_half_a_minute_and_is_scikit_learn_s():
    found = record("bootstrap.json")
    assert (found["images"], found["classes"], found["replicates"]) == (40_000, 80, 2000)
    assert found["bootstrap_s"] <= 30
    assert found["largest_difference_of_an_ap"] < 1e-12
    seconds, times = round(found["bootstrap_s"]), round(found["times_faster"])
    assert f"{seconds} seconds on one core of an Intel Xeon, {times} times less" in page("verify.md")


def test_how_far_pixels_decoded_at_reduced_scale_are_off():
    found = [
        one["difference"]["reduced"]
        for one in record("decoding.json")["measurements"]
        if one["decoded_at_reduced_scale"] > 0
    ]
    means, rare = ([one[key] for one in found] for key in ("mean", "p99.9"))
    assert f"differ from those by {min(means):.1f} to {max(means):.1f} levels of 255 on average" in page("images.md")
    assert f"in one value of a thousand by {min(rare):.0f} to {max(rare):.0f} or more" in page("images.md")


@pytest.mark.parametrize("row", ["overhead", "large", "full", "memory", "slower", "sum", "one by one"])
def test_what_predicting_costs(row):
    found, text = record("predict.json")["measurements"], page("predict.md")
    large, more = found["large"]["decode: reduced"], found["memory"]["extra_resident_mb"]
    bare = found["memory"]["resident_mb"]["bare"]
    told = {
        "overhead": (
            f"the session alone, {found['overhead']['backend alone']['median_ms']:.3g} ms | "
            f"{found['overhead']['Predictor.scores']['ratio']:.3g} times"
        ),
        "large": f"{1 / large['ratio']:.1f} times faster, the same labels",
        "full": f"{1 / found['large']['decode: full']['ratio']:.1f} times faster",
        "memory": f"{bare:.0f} MB | {abs(more):.1f} MB {'less' if more < 0 else 'more'}",
        "slower": f"alone | {found['folder']['stream_to_slower']:.2f} times",
        "sum": f"cores | {found['folder']['stream_to_sum']:.2f} times",
        "one by one": f"image by image | {found['folder']['stream_to_one_by_one']:.2f} times",
    }[row]
    assert told in text
    alone = found["overhead"]["Predictor.scores"]
    assert alone["ratio"] <= 1.03 or alone["extra_us"] <= 30
    assert found["folder"]["stream_to_sum"] < 1
    for decode in ("decode: full", "decode: reduced"):
        assert found["large"][decode]["photographs_with_the_same_labels"] == 1.0
    assert more <= 15
    peak = re.search(r"(\d+) MB more at the peak", text)
    assert int(peak[1]) == round(found["memory"]["extra_peak_mb"])


def test_nothing_is_lost_and_no_memory():
    parts = record("endurance.json")["parts"]
    assert sorted(parts) == ["bulk", "disk", "predictions", "server", "worker"]
    assert all(part["lost"] == [] for part in parts.values())
    assert all(parts[name]["growth"]["high"] < 10 for name in ("predictions", "server"))  # bytes: below any object's
    predictions = parts["predictions"]
    assert predictions["counts"]["predictions"] >= 50_000
    mean, low, high = (predictions["growth"][key] for key in ("mean", "low", "high"))
    told = f"memory grew by {mean:.1f} bytes a prediction [{low:.1f}, {high:.1f}]"
    assert f"{predictions['counts']['predictions']:,} predictions" in page("predict.md")
    assert told in page("predict.md")
