"""Shared by the tests of the losses and by the benchmarks: the cases, importable by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
