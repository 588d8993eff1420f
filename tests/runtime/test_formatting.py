from edgedistill.runtime.formatting import interval
from edgedistill.runtime.interval import Interval


def test_nothing_is_lost_without_a_sign():
    found = Interval(estimate=-0.0001, low=-0.004, high=0.2, confidence=0.95, method="any")
    assert interval(found) == "0.00 [0.00, 0.20]"
    assert interval(found, 3) == "0.000 [-0.004, 0.200]"
