"""The field check: what a device's own photographs tell without labels."""

from .checking import check
from .page import check_page
from .report import CheckReport

__all__ = ["CheckReport", "check", "check_page"]
