"""Run in a toolchain's environment, which need not have edgedistill: imports the standard library alone."""

import importlib


def load(module: str) -> str:
    """Import a module; returns its file."""
    return str(importlib.import_module(module).__file__)
