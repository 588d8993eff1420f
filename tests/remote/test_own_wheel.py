"""A device gets the edgedistill that runs here: of a checkout, editable or not, and of an installed wheel."""

import io
import json
import subprocess
import sys
import zipfile

import pytest

import edgedistill
from edgedistill.remote.own_wheel import own_wheel, repacked
from edgedistill.runtime.errors import EdgedistillError, MissingDependencyError


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def test_of_a_checkout_it_is_built_once():
    wheel = own_wheel()
    found = members(wheel.data)
    assert wheel.name == f"edgedistill-{edgedistill.__version__}-py3-none-any.whl"
    for path in (
        "edgedistill/remote/there.py",
        "edgedistill/runtime/files.py",
        "edgedistill/deploy_configs/__init__.py",
    ):
        assert path in found
    own_wheel.cache_clear()
    assert own_wheel().sha256 == wheel.sha256
    assert "onnxruntime" in wheel.described["provides_extra"]


def test_of_an_installed_wheel_it_is_put_together_again(tmp_path):
    wheel = own_wheel()
    (tmp_path / wheel.name).write_bytes(wheel.data)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", tmp_path / "installed",
         tmp_path / wheel.name],
        check=True,
    )  # fmt: skip
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); from edgedistill.remote.own_wheel import own_wheel; "
        "open(sys.argv[2], 'wb').write(own_wheel().data); print(json.dumps([own_wheel().name, own_wheel().sha256]))"
    )
    again = [
        subprocess.run(
            [sys.executable, "-I", "-c", code, tmp_path / "installed", tmp_path / "again.whl"],
            check=True,
            capture_output=True,
        ).stdout
        for _ in range(2)
    ]
    assert again[0] == again[1]
    assert json.loads(again[0])[0] == wheel.name
    assert members((tmp_path / "again.whl").read_bytes()) == members(wheel.data)


def test_the_same_of_pure_packages():
    pip = repacked("pip")
    assert pip.name.startswith("pip-")
    assert pip.name.endswith("-py3-none-any.whl")
    assert "pip/__main__.py" in members(pip.data)


def test_what_is_not_pure_or_not_there_is_refused():
    with pytest.raises(EdgedistillError, match="was not installed from a pure wheel"):
        repacked("numpy")
    with pytest.raises(MissingDependencyError, match=r'pip install "edgedistill\[remote\]"'):
        repacked("no-such-distribution")
