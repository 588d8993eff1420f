"""docs/losses.md shows the stored results."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_shows_the_stored_results():
    spec = importlib.util.spec_from_file_location("loss_tables", ROOT / "benchmarks" / "loss_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    report = json.loads((ROOT / "benchmarks" / "results" / "losses.json").read_text())
    tables = module.tables(report)
    assert "not run" in tables
    assert tables in (ROOT / "docs" / "losses.md").read_text(), "python benchmarks/losses.py --table"
