"""Print the lowest versions that pyproject.toml declares of the base dependencies and of some extras, as pip's pins.

Usage: python .ci/lowest_versions.py onnxruntime openvino litert
"""

import re
import sys
from pathlib import Path

import tomllib

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
declared = [
    *project["dependencies"],
    *(line for name in sys.argv[1:] for line in project["optional-dependencies"][name]),
]
for line in dict.fromkeys(line.partition(";")[0] for line in declared):  # one of several platforms' lines is enough
    bound = re.match(r"([A-Za-z0-9._-]+)>=([0-9.]+)", line)
    if bound is None:
        sys.exit(f"pyproject.toml: {line!r} declares no lowest version")
    print(f"{bound[1]}=={bound[2]}")
