"""The published schema is the code's own."""

import json
from pathlib import Path

from edgedistill.runtime.bundle import manifest_schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "manifest.schema.json"


def test_the_published_schema_is_current():
    expected = json.dumps(manifest_schema(), indent=2) + "\n"
    assert PUBLISHED.read_text(encoding="utf-8") == expected, (
        'regenerate it: python -c "import json; from edgedistill.runtime.bundle import manifest_schema; '
        'print(json.dumps(manifest_schema(), indent=2))" > docs/manifest.schema.json'
    )
