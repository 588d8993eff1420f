"""docs/verify.md shows the stored results of benchmarks/coverage.py, and the record meets what the page promises."""

import importlib.util
import json
from pathlib import Path

from edgedistill.runtime.metrics import least_images, uncertainty
from edgedistill.runtime.verdicts import EXIT_CODES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
RECORD = json.loads((ROOT / "benchmarks" / "results" / "coverage.json").read_text(encoding="utf-8"))


def test_the_page_shows_the_stored_results():
    spec = importlib.util.spec_from_file_location("coverage_table", ROOT / "benchmarks" / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.markdown(RECORD) in PAGE, "python benchmarks/coverage.py --table"


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
