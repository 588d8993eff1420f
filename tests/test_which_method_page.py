"""docs/which_method.md shows the stored results."""

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from edgedistill.distill.study import Store, load_study
from edgedistill.distill.study.choice import choose

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
    return (ROOT / "docs" / "which_method.md").read_text()


@pytest.mark.parametrize("study", recorded_studies())
def test_the_page_shows_every_studys_record(page, study, command, monkeypatch, named_photographs):
    monkeypatch.chdir(ROOT)
    results = record_of(study).relative_to(ROOT)
    typed = f"study benchmarks/studies/{study}.yaml --results {results} --markdown"
    code, out, _ = command(*typed.split())
    assert code == 0
    assert f"<!-- edgedistill {typed} -->\n{out.strip()}\n" in page


def benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_headline(page):
    module = benchmark("headline")
    record = msgspec.json.decode(module.RESULTS.read_bytes(), type=module.Headline)
    assert module.markdown(record) in page, "python benchmarks/headline.py --table"


def test_the_page_shows_what_the_terms_pull_at(page):
    module = benchmark("term_gradients")
    report = json.loads((BENCHMARKS / "results" / "term_gradients.json").read_text())
    assert module.markdown(report) in page, "python benchmarks/term_gradients.py --table"


TUNINGS = {"coco18_tuning": "coco18", "coco18_maps_tuning": "coco18_maps"}


@pytest.mark.parametrize("tuning", TUNINGS)
def test_what_is_recorded_as_best_was_chosen_by_validation_among_eight_settings_at_most(
    tuning, named_photographs, monkeypatch
):
    """A method's row at its best is pasted into the study that counts, from the record of the tuning."""
    monkeypatch.setattr("edgedistill.distill.recipe.check.Path.is_file", lambda path: True)  # teachers not trained here
    plan, counts = (load_study(BENCHMARKS / "studies" / f"{name}.yaml") for name in (tuning, TUNINGS[tuning]))
    assert max(Counter(map(plan.spec.family, plan.spec.methods)).values()) <= 8
    assert plan.spec.score_test == "when_asked"
    assert not set(plan.spec.seeds) & set(counts.spec.seeds)
    monkeypatch.undo()
    best = {name for name in counts.spec.methods if name.endswith("_best")}
    if not record_of(tuning).is_file():
        assert not best
        return
    chosen = {f"{one.family}_best": one for one in choose(plan, Store(plan, record_of(tuning), "").read())}
    assert best <= chosen.keys()
    for name in best:
        variant = counts.spec.variant(name)
        assert {"method": variant.method} | ({"set": variant.set} if variant.set else {}) == chosen[name].section
