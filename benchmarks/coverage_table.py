"""docs/verify.md's table of the record that coverage.py left: python benchmarks/coverage_table.py"""

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "results" / "coverage.json"
METHODS = ("jackknife", "percentile")


def markdown(result: dict[str, Any]) -> str:
    """docs/verify.md's table: how often an interval held the truth, in the worse of a hard and an easy population."""
    heads = ("classes", "images", "label in", "positives", "mAP", "percentile", "drop", "percentile")
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    places = {(each["classes"], each["images"], each["prevalence"]): None for each in result["cells"]}
    for place in places:
        cells = [each for each in result["cells"] if (each["classes"], each["images"], each["prevalence"]) == place]
        found = [each["found"] for each in cells]
        drops = [of[name] for of in found for name in of if name.startswith("drop")]
        columns = [_worst(kind, method) for kind in ([of["mAP"] for of in found], drops) for method in METHODS]
        first = (*place, f"{cells[0]['positives_per_class']:g}")
        lines.append(f"| {' | '.join(map(str, (*first, *columns)))} |")
    return "\n".join(lines) + "\n"


def _worst(quantities: list[dict[str, Any]], method: str) -> str:
    """The lowest coverage of a method among some quantities; "-" where not a third of the samples got an interval."""
    told = [of[method] for of in quantities if method in of and 3 * of[method]["given"] >= of[method]["samples"]]
    return f"{100 * min(each['coverage'] for each in told):.0f} %" if told else "-"


if __name__ == "__main__":
    print(markdown(json.loads(RECORD.read_text(encoding="utf-8"))), end="")
