"""docs/study.md shows the stored results."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
RECORDS = {"digit_scenes_why": "digit_scenes_why"}  # others are called <study>_study


def recorded_studies() -> list[str]:
    """Those that were run, of all in the repository."""
    names = [path.stem for path in sorted((BENCHMARKS / "studies").glob("*.yaml"))]
    return [name for name in names if record_of(name).is_file()]


def record_of(study: str) -> Path:
    return BENCHMARKS / "results" / f"{RECORDS.get(study, f'{study}_study')}.json"


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "study.md").read_text()


@pytest.mark.parametrize("study", recorded_studies())
def test_the_page_shows_every_studys_record(page, study, command, monkeypatch, named_photographs):
    monkeypatch.chdir(ROOT)
    results = record_of(study).relative_to(ROOT)
    typed = f"study benchmarks/studies/{study}.yaml --results {results} --markdown"
    code, out, _ = command(*typed.split())
    assert code == 0
    assert f"<!-- edgedistill {typed} -->\n{out.strip()}\n" in page


def test_the_page_shows_what_the_terms_pull_at(page):
    spec = importlib.util.spec_from_file_location("term_gradients", BENCHMARKS / "term_gradients.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    report = json.loads((BENCHMARKS / "results" / "term_gradients.json").read_text())
    assert module.markdown(report) in page, "python benchmarks/term_gradients.py --table"
