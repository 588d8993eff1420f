"""Outcome, seconds and message of every test, from pytest's --junit-xml: python benchmarks/junit_json.py XML JSON."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree


def main() -> None:
    tests = []
    for case in ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        told = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        outcome = "passed" if told is None else told.tag
        message = "" if told is None else (told.get("message") or "")[:400]
        seconds = float(case.get("time") or 0.0)
        tests.append({"test": case.get("name"), "outcome": outcome, "seconds": seconds, "message": message})
    counts = {
        kind: sum(test["outcome"] == kind for test in tests) for kind in ("passed", "failure", "error", "skipped")
    }
    Path(sys.argv[2]).write_text(json.dumps({"counts": counts, "tests": tests}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
