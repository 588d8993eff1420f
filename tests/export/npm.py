"""Packages from npm for tests, kept below the cache folder, in the versions that were tried."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from shared_traces import made_once

from edgedistill.runtime.cache_folder import cache_folder

NODE, NPM = shutil.which("node"), shutil.which("npm")


def npm_packages(*packages: str) -> Path:
    """A `node_modules` with these, e.g. "sharp@0.35.5"; skips the test where they cannot be had."""
    if NODE is None or NPM is None:
        pytest.skip("no npm here: install the packages `nodejs` and `npm`")
    name = "-".join(sorted(package.strip("@").replace("/", "_") for package in packages))
    if len(name) > 100:
        name = f"{name[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    place = cache_folder() / "npm" / name

    def install(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}')
        # Their scripts would download libraries for GPUs.
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        done = subprocess.run(
            [str(NPM), "install", *options, *packages], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"npm cannot install {', '.join(packages)} here: {(done.stderr or done.stdout).strip()[-200:]}")

    place.parent.mkdir(parents=True, exist_ok=True)
    return made_once(place, install) / "node_modules"
