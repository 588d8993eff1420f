"""Toolchains whose requirements conflict with ours, each in a small environment of its own."""

from ...runtime.cache_folder import cache_folder
from .environment import (
    Environment,
    Remains,
    environments,
    installed_here,
    own_versions,
    remains,
    toolchain_missing,
    toolchain_python,
)
from .installing import install, remove
from .table import TOOLCHAINS, Toolchain, toolchain

__all__ = [
    "TOOLCHAINS",
    "Environment",
    "Remains",
    "Toolchain",
    "cache_folder",
    "environments",
    "install",
    "installed_here",
    "own_versions",
    "remains",
    "remove",
    "toolchain",
    "toolchain_missing",
    "toolchain_python",
]
