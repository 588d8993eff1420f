"""docs/verify.md shows the stored results of benchmarks/coverage.py, and the record meets what the page promises."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from edgedistill.runtime.metrics import least_images, leave_one_out, map_drop_interval, uncertainty
from edgedistill.runtime.verdicts import EXIT_CODES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
RECORD = json.loads((ROOT / "benchmarks" / "results" / "coverage.json").read_text(encoding="utf-8"))


def benchmark(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_stored_results():
    assert benchmark("coverage_table").markdown(RECORD) in PAGE, "python benchmarks/coverage_table.py"


def test_the_intervals_hold_the_truth_as_often_as_is_promised():
    told = [
        (each["classes"], each["images"], each["prevalence"], name, of["jackknife"]["coverage"])
        for each in RECORD["cells"]
        for name, of in each["found"].items()
        if 3 * of["jackknife"]["given"] >= of["jackknife"]["samples"]
    ]
    assert len(told) > 120
    assert [each for each in told if each[-1] < 0.9] == []


def test_the_page_states_the_limits_and_exit_codes_of_the_code():
    for verdict, code in EXIT_CODES.items():
        assert f"| {verdict} | {code} |" in PAGE
    assert f"{uncertainty.LEAST_POSITIVES} positives in all, and {uncertainty.LEAST_PER_CLASS:g} per class" in PAGE
    assert f"all, and {uncertainty.LEAST_PER_CLASS_OF_A_DROP:g} per class" in PAGE
    assert f"{least_images(0.95)} images ({least_images(0.9)} for 90 %, {least_images(0.99)} for 99 %)" in PAGE


@pytest.mark.parametrize(
    ("images", "classes", "prevalence", "row", "half"),
    [
        (1500, 20, 0.15, "1,500 | 20 | 220 | 0 ± 0.0015", 0.0015),
        (2000, 80, "rare ones harder", "2,000 | 80, long tail | 63 | 0 ± 0.01", 0.01),
        (500, 80, "rare ones harder", "500 | 80, long tail | 18 | 0 ± 0.07", 0.07),
        (237, 80, "rare ones harder", "237 | 80, long tail, rare classes harder | 10 | 0 ± 0.2", 0.2),
        (237, 80, "rare ones easier", "237 | 80, long tail, rare classes easier | 9 | 0 ± 0.4", 0.4),
        (59, 20, 0.15, "59 | 20 | 8 | 0 ± 0.4", 0.4),
    ],
)
def test_the_page_shows_how_wide_the_interval_of_identical_outputs_is(images, classes, prevalence, row, half):
    population = benchmark("coverage").population(classes, prevalence, "easy")
    model = leave_one_out(*population.draw(np.random.default_rng(0), images))
    found = map_drop_interval(model, model)
    assert (found.estimate, found.low) == (0.0, -found.high)
    assert found.high == pytest.approx(half, rel=0.25)
    assert f"| {row} |" in PAGE
    assert f"{int(np.median(model.positives[model.positives > 0])):,}" == row.split(" | ")[2]
