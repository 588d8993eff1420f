"""Toolchains whose requirements conflict with ours, each in a small environment of its own."""

from .environment import (
    Environment,
    cache_folder,
    environments,
    install,
    installed_here,
    own_versions,
    remove,
    toolchain_missing,
    toolchain_python,
)
from .table import TOOLCHAINS, Toolchain, toolchain

__all__ = [
    "TOOLCHAINS",
    "Environment",
    "Toolchain",
    "cache_folder",
    "environments",
    "install",
    "installed_here",
    "own_versions",
    "remove",
    "toolchain",
    "toolchain_missing",
    "toolchain_python",
]
