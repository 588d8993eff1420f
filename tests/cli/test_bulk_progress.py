"""How far a long list is: on a terminal a bar with the time left, in a log a line now and then."""

import io
import re

import pytest
from rich.console import Console

from edgedistill.cli import bulk_progress as module
from edgedistill.cli.bulk_progress import bulk_progress


@pytest.fixture
def clock(monkeypatch):
    """The time that `bulk_progress` reads: one list entry, in seconds."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_each_half_minute_with_the_time_left(clock):
    log = io.StringIO()
    with bulk_progress(Console(file=log, width=80), total=100_000, done=40_000) as tell:
        for seconds, done in ((10, 41_000), (31, 43_100), (40, 44_000), (62, 46_200)):
            clock[0] = float(seconds)
            tell(done)
    # What an earlier run did takes no part in the rate.
    assert log.getvalue().splitlines() == [
        "43,100 images of 100,000, about 9 min left (100 a second)",
        "46,200 images of 100,000, about 9 min left (100 a second)",
    ]


def test_of_a_pipe_nobody_knows_the_end(clock):
    log = io.StringIO()
    with bulk_progress(Console(file=log, width=80), total=None) as tell:
        clock[0] = 30.0
        tell(1500)
    assert log.getvalue() == "1,500 images (50 a second)\n"


def test_a_terminal_gets_a_bar_with_the_time_left():
    drawn = io.StringIO()
    with bulk_progress(Console(file=drawn, width=80, force_terminal=True), total=2000) as tell:
        tell(500)
    assert "500/2000" in drawn.getvalue()
    assert "0:00:00 -:--:-- left" in re.sub(r"\x1b\[[0-9;]*m", "", drawn.getvalue())
