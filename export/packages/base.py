"""Packages: what a finished bundle is turned into for one kind of user, one file each."""

from collections.abc import Callable
from pathlib import Path

from ...runtime.bundle import Bundle
from ...runtime.registry import Registry

# From a bundle to files at a path that does not exist yet; returns the path. `edgedistill app` hands over its options
# `artifacts` (names) and `assets` (a folder) where they are given and are parameters of it.
Package = Callable[[Bundle, Path], Path]

PACKAGES: Registry[Package] = Registry("package", __package__, "edgedistill.packages")
