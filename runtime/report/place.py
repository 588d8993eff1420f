"""Where a bundle's page lies, and how one of ours is known."""

from pathlib import Path

from ..bundle import Bundle

REPORT = "report.html"
GENERATOR = "edgedistill report"  # the page's `generator`
_HEAD = 1 << 12  # bytes in which it stands


def report_place(bundle: Bundle) -> Path:
    """Inside a bundle's folder; beside a .zip, which stays as it is."""
    return bundle.root / REPORT if bundle.root.is_dir() else bundle.root.with_suffix(f".{REPORT}")


def is_report(path: Path) -> bool:
    """Whether a file is a page that `report` wrote, which the next one may replace."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return f'content="{GENERATOR}"'.encode() in stream.read(_HEAD)
    except OSError:
        return False
