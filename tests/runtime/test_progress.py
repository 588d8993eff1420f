"""Durations for people."""

import pytest

from edgedistill.runtime.progress import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (40.4, "40 s"),
        (89.9, "90 s"),
        (91, "2 min"),
        (300, "5 min"),
        (11_400, "3 h 10 min"),
        (47 * 3600, "47 h 0 min"),
        (148 * 3600, "6 days 4 h"),
    ],
)
def test_durations_are_in_two_units_at_most(seconds, words):
    assert duration(seconds) == words
