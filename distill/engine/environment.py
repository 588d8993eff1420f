"""What a training ran with, stored beside it, and what changed when it is continued elsewhere."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import torch

from ... import __version__
from ...runtime.datasets import Dataset
from ...runtime.device import describe_device
from ...runtime.files import write_atomic
from .world import World

_LIBRARIES = ("torch", "torchvision", "timm", "numpy", "Pillow", "scikit-learn", "safetensors")
_DECIDES_BITS = ("edgedistill", "commit", "libraries", "device", "cuda", "cpu", "threads", "gpus", "processes")


def describe_environment(device: torch.device, world: World, datasets: Sequence[Dataset]) -> dict[str, Any]:
    """Code version, command, libraries, hardware and data, as plain data."""
    machine = describe_device()
    return {
        "edgedistill": __version__,
        "commit": _commit(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "python": machine.python,
        "os": machine.os,
        "cpu": machine.cpu,
        "threads": torch.get_num_threads(),
        "gpus": list(machine.gpus),
        "device": device.type,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "processes": world.size,
        "machine": msgspec.to_builtins(machine),
        "datasets": {part.name: {"images": len(part), "fingerprint": part.fingerprint()} for part in datasets},
    }


def store_environment(path: Path, environment: dict[str, Any]) -> list[str]:
    """Write it to `path`; returns what differs from an earlier start's among all that decides the last bits."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = environment
    write_atomic(path, json.dumps(environment, indent=2) + "\n")
    return [
        f"{key}: {before.get(key)} -> {environment[key]}"
        for key in _DECIDES_BITS
        if before.get(key) != environment[key]
    ]


def _commit() -> str | None:
    """Of the checkout that the code runs from, with "+" where it has uncommitted changes; None when installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", os.fspath(root)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
