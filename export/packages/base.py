"""Packages: what a finished bundle is turned into for one kind of user, one file each."""

from collections.abc import Callable
from pathlib import Path

from ...runtime.bundle import Bundle
from ...runtime.registry import Registry

# From a bundle to files at a path that does not exist yet; returns the path.
Package = Callable[[Bundle, Path], Path]

PACKAGES: Registry[Package] = Registry("package", __package__, "edgedistill.packages")
