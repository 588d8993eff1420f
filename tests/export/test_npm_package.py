"""Where a package's files come from: a folder that is given, the cache, npm; and what is said where none has them."""

import tarfile
from pathlib import Path

import pytest

from edgedistill.export.packages.npm_package import npm_files
from edgedistill.runtime.errors import ConfigError, MissingDependencyError

WANTED = ("dist/a.mjs", "dist/b.wasm")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    """An empty cache folder, and an npm that only says what it was asked."""
    monkeypatch.setenv("EDGEDISTILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEDISTILL_ASSETS", raising=False)
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text('#!/bin/sh\necho "npm error code ENOTFOUND" >&2\necho more >&2\nexit 1\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    return tmp_path / "cache"


def unpacked(folder: Path) -> Path:
    for path in WANTED:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


def packed(folder: Path, names: tuple[str, ...] = WANTED) -> Path:
    source = unpacked(folder / "source")
    with tarfile.open(folder / "toy-1.0.0.tgz", "w:gz") as archive:
        for name in names:
            archive.add(source / name, f"package/{name}")
        archive.add(source / "dist" / "a.mjs", "package/../../escaped")
    return folder


@pytest.mark.parametrize("inside", ["", "package", "toy", "node_modules/toy"])
def test_a_folder_that_is_given(tmp_path, monkeypatch, inside):
    folder = unpacked(tmp_path / "given" / inside)
    assert npm_files("toy", "1.0.0", WANTED, tmp_path / "given") == folder
    monkeypatch.setenv("EDGEDISTILL_ASSETS", str(tmp_path / "given"))
    assert npm_files("toy", "1.0.0", WANTED) == folder


def test_another_version_is_not_taken(tmp_path):
    folder = unpacked(tmp_path / "node_modules" / "toy")
    (folder / "package.json").write_text('{"name": "toy", "version": "0.9.0"}')
    with pytest.raises(
        ConfigError, match=r"lacks dist/a.mjs of toy 1.0.0 \(it has 0.9.0\). `npm pack toy@1.0.0` there"
    ):
        npm_files("toy", "1.0.0", WANTED, tmp_path)
    assert npm_files("toy", "0.9.0", WANTED, tmp_path) == folder
    packed(tmp_path)
    assert npm_files("toy", "1.0.0", WANTED, tmp_path).name == "toy-1.0.0"


def test_a_packed_package_goes_into_the_cache_once(tmp_path, cache):
    (tmp_path / "given").mkdir()
    kept = npm_files("toy", "1.0.0", WANTED, packed(tmp_path / "given"))
    assert kept == cache / "npm" / "toy-1.0.0"
    assert sorted(path.name for path in kept.rglob("*") if path.is_file()) == ["a.mjs", "b.wasm"]
    assert not list(tmp_path.rglob("escaped"))
    assert npm_files("toy", "1.0.0", WANTED) == kept  # without asking npm
    assert [path.name for path in kept.parent.iterdir()] == ["toy-1.0.0"]


def test_what_is_missing_is_told_with_the_way_out(tmp_path, monkeypatch, cache):
    (tmp_path / "given").mkdir()
    with pytest.raises(ConfigError, match=r"lacks dist/a.mjs of toy 1.0.0. `npm pack toy@1.0.0` there brings it"):
        npm_files("toy", "1.0.0", WANTED, tmp_path / "given")
    packed(tmp_path / "given", WANTED[:1])
    with pytest.raises(ConfigError, match=r"toy-1.0.0.tgz: damaged, or lacks what is needed \(.*b.wasm"):
        npm_files("toy", "1.0.0", WANTED, tmp_path / "given")
    with pytest.raises(
        MissingDependencyError, match=r"npm cannot get it \(npm error code ENOTFOUND\). .*--assets FOLDER"
    ):
        npm_files("toy", "1.0.0", WANTED)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="comes from npm, not installed here. Install Node.js with npm"):
        npm_files("toy", "1.0.0", WANTED)
    assert not (cache / "npm" / "toy-1.0.0").exists()
