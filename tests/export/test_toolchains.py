"""A toolchain has an environment of its own: over this one, whole or not at all. Made of a wheel written here."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from edgedistill.export.child import run_in_child
from edgedistill.export.errors import ExportError
from edgedistill.export.toolchains import (
    TOOLCHAINS,
    Environment,
    Toolchain,
    environments,
    install,
    installed,
    installing,
    remove,
    toolchain_python,
)
from edgedistill.export.toolchains.environment import place_of
from edgedistill.export.toolchains.installed import installed_toolchain
from edgedistill.export.toolchains.probe import load
from edgedistill.export.toolchains.table import toolchain
from edgedistill.runtime.errors import ConfigError, EdgedistillError, MissingDependencyError

WHEEL = {
    "toy_tool.py": "import numpy, msgspec\n",  # its own and ours
    "numpy/__init__.py": "__version__ = '0.0'\n",
    "toy_tool-3.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: toy-tool\nVersion: 3.1\n",
    "toy_tool-3.1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A row whose environment lies below tmp_path/cache."""
    monkeypatch.setenv("EDGEDISTILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")  # must not reach the environment
    wheel = tmp_path / "toy_tool-3.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in WHEEL.items():
            archive.writestr(name, text)
        archive.writestr("toy_tool-3.1.dist-info/RECORD", "".join(f"{name},,\n" for name in WHEEL))
    row = Toolchain(
        name="toy",
        module="toy_tool",
        distribution="toy-tool",
        requirements=(str(wheel),),
        reason="it wants an older numpy",
        download_mb=1,
        disk_mb=1,
        extra="toy",
    )
    monkeypatch.setitem(TOOLCHAINS, "toy", row)
    return row


def left(tmp_path):
    return [path.name for path in (tmp_path / "cache" / "toolchains").iterdir() if path.name != ".lock"]


def test_made_once_over_this_environment_and_removed(toy, tmp_path, command, monkeypatch):
    with pytest.raises(MissingDependencyError) as raised:
        toolchain_python("toy")
    ways = '`edgedistill toolchain install toy` (or `pip install "edgedistill[toy]"`)'
    assert str(raised.value) == f"toy-tool is not installed: {ways}."

    made = install("toy")
    python = toolchain_python("toy")
    assert (python, made.versions) == (Path(made.python), {"toy-tool": "3.1"})
    assert made.bytes > 0
    own, ours = (run_in_child(load, name, what="x", python=python) for name in ("numpy", "msgspec"))
    assert Path(own).is_relative_to(made.path)
    assert ours == sys.modules["msgspec"].__file__
    code, out, _ = command("toolchain", "list", "--json")
    row = next(row for row in json.loads(out) if row["toolchain"] == "toy")
    assert (code, row) == (0, {
        "toolchain": "toy", "installed": True, "versions": {"toy-tool": "3.1"}, "where": made.path, "over": sys.prefix,
        "bytes": made.bytes, "how_to_get": None, "reason": "it wants an older numpy",
    })  # fmt: skip
    assert "toy-tool 3.1" in command("toolchain", "list")[1]

    copy = tmp_path / "copied"
    shutil.copytree(tmp_path / "cache", copy, symlinks=True)
    with monkeypatch.context() as patch:
        patch.setenv("EDGEDISTILL_CACHE", str(copy))
        assert toolchain_python("toy").is_relative_to(copy)
        run_in_child(load, "toy_tool", what="x", python=toolchain_python("toy"))
        assert Path(remove("toy")[0].path).parent == copy / "toolchains"
        assert environments() == []
    assert toolchain_python("toy") == python

    monkeypatch.setattr(installing, "_make", None)
    assert install("toy") == made
    assert [environment.path for environment in remove("toy")] == [made.path]
    assert (left(tmp_path), environments()) == ([], [])


def test_a_failed_or_interrupted_installation_leaves_nothing(toy, tmp_path, monkeypatch):
    monkeypatch.setitem(TOOLCHAINS, "toy", Toolchain(**{**vars(toy), "requirements": (str(tmp_path / "no.whl"),)}))
    with pytest.raises(ExportError, match=r"^the environment for toy cannot be made: ERROR: .*no\b"):
        install("toy")
    assert left(tmp_path) == []

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(installing.subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        install("toy")
    assert left(tmp_path) == []


def test_half_an_environment_is_never_taken_for_a_whole_one(toy, tmp_path):
    place = place_of(toy)
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    with pytest.raises(MissingDependencyError):
        toolchain_python("toy")
    assert environments() == []


@pytest.mark.parametrize("record", [None, b"{", b'{"toolchain": "toy"}'])
def test_what_remains_of_an_environment_is_listed_and_removed(toy, tmp_path, command, record):
    """A removal that was interrupted leaves no record, a full disk one that cannot be read."""
    place = place_of(toy)
    (place / "bin").mkdir(parents=True)
    if record is not None:
        (place / "environment.json").write_bytes(record)
    rows = [row for row in json.loads(command("toolchain", "list", "--json")[1]) if row["toolchain"] == "toy"]
    assert [(row["installed"], row["where"]) for row in rows] == [(False, None), (False, str(place))]
    assert "edgedistill toolchain remove toy" in rows[1]["how_to_get"]
    code, out, _ = command("toolchain", "remove", "toy")
    assert (code, out.split()) == (0, ["removed", str(place)])
    assert left(tmp_path) == []


def test_an_environment_of_a_toolchain_that_is_not_known_is_listed_and_removed(toy, tmp_path, monkeypatch, command):
    """Another version of edgedistill made it, or one with a plug-in."""
    place = place_of(toy)
    place.mkdir(parents=True)
    of_toy = Environment(toolchain="toy", path="", python="bin/python", over="", versions={"toy-tool": "3.1"}, bytes=1)
    (place / "environment.json").write_bytes(msgspec.json.encode(of_toy))
    assert installed_toolchain()["toy-tool"] == "3.1"
    monkeypatch.delitem(TOOLCHAINS, "toy")
    assert "toy-tool" not in installed_toolchain()
    listed = {row["toolchain"]: row for row in json.loads(command("toolchain", "list", "--json")[1])}
    assert (listed["toy"]["where"], listed["toy"]["reason"]) == (str(place), None)
    assert command("toolchain", "remove", "toy")[0] == 0
    assert left(tmp_path) == []
    assert "unknown toolchain 'toy'" in command("toolchain", "remove", "toy")[2]


def test_what_is_missing_is_listed_with_the_way_to_get_it(toy, command):
    listed = {row["toolchain"]: row for row in json.loads(command("toolchain", "list", "--json")[1])}
    assert listed["toy"] == {
        "toolchain": "toy", "installed": False, "versions": {}, "where": None, "over": None, "bytes": None,
        "how_to_get": '`edgedistill toolchain install toy` (or `pip install "edgedistill[toy]"`): about 1 MB',
        "reason": "it wants an older numpy",
    }  # fmt: skip


def test_one_installer_at_a_time_and_a_folder_that_can_be_written(toy, tmp_path, monkeypatch):
    with (
        installing.sole_installer(tmp_path / "cache" / "toolchains"),
        pytest.raises(EdgedistillError, match="another process installs or removes a toolchain there"),
    ):
        install("toy")
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGEDISTILL_CACHE", str(tmp_path / "file"))
    with pytest.raises(EdgedistillError, match="file.*cannot be written .*EDGEDISTILL_CACHE"):
        install("toy")


def test_installed_beside_edgedistill_it_is_this_python(toy, monkeypatch):
    monkeypatch.setitem(TOOLCHAINS, "toy", Toolchain(**{**vars(toy), "module": "msgspec", "distribution": "msgspec"}))
    assert toolchain_python("toy") == Path(sys.executable)


def test_an_unknown_toolchain_and_the_known_ones():
    with pytest.raises(ConfigError, match="unknown toolchain 'coremll': one of coreml, litert"):
        toolchain("coremll")


def test_what_decides_a_file_and_stands_beside_edgedistill_is_recorded(monkeypatch):
    """Else a repeated export after an upgrade would do nothing."""
    monkeypatch.setattr(installed, "_version", lambda distribution: "1.0")
    assert {"torch", "onnx-ir", "onnxruntime", "litert-torch", "ai-edge-quantizer", "coremltools"} <= set(
        installed_toolchain()
    )
