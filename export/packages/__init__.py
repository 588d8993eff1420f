"""Packages: bundle -> files for one kind of user; one file each."""

from .base import PACKAGES, Package

__all__ = ["PACKAGES", "Package"]
