"""Numbers as people read them: the same in tables, pages and READMEs."""

from .interval import Interval


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def counted(count: int, what: str) -> str:
    """`1 image`, `3,000 images`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def interval(found: Interval | None, digits: int = 2) -> str:
    """`estimate [low, high]`; a dash where there is none."""
    if found is None or found.estimate is None:
        return "-"
    if found.low is None or found.high is None:
        return _fixed(found.estimate, digits)
    return f"{_fixed(found.estimate, digits)} [{_fixed(found.low, digits)}, {_fixed(found.high, digits)}]"


def points(value: float | None) -> str:
    """Points of 0 to 100; a dash where there are none."""
    return "-" if value is None else f"{value:.2f}"


def milliseconds(value: float | None) -> str:
    """Three significant digits; a dash where there are too few samples."""
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _fixed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # of -0.0 the sum is 0.0
