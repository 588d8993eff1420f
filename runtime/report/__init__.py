"""`report`: all that is known of a bundle as one page for people, made where the bundle is: no torch, no network."""

from .writing import write_report

__all__ = ["write_report"]
