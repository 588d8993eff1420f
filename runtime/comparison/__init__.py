"""Is B faster than A? Two benchmarks held against each other, with the interval of the ratio of their times.

* comparing: `runtime.compare`, from report files to verdicts.
* reading: what a side may be: a report, a file of one, a folder of them.
* differences: what else than the speed differs, and what of it forbids a comparison.
* units: which numbers of a report are independent of each other, and the interval that they give.
* records: everything as typed values.
"""

from .comparing import compare
from .records import ArtifactComparison, Comparison, Difference, SpeedVerdict

__all__ = ["ArtifactComparison", "Comparison", "Difference", "SpeedVerdict", "compare"]
