"""What a program around the library has set, or has not left to it: another locale, no memory."""

import json
import shutil
import subprocess

import pytest
from cpp_built import blobs

from edgedistill import runtime

pytestmark = pytest.mark.slow  # a compiler builds the library first


@pytest.fixture(params=["de_DE", "ps_AF"])
def comma(request, tmp_path) -> dict[str, str]:
    """The environment of a locale that writes 0,5; the second one's comma has two bytes."""
    if shutil.which("localedef") is None:
        pytest.skip("no localedef: apt install libc-bin locales")
    command = ["localedef", "-c", "-i", request.param, "-f", "UTF-8", tmp_path / f"{request.param}.UTF-8"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"no source of the locale {request.param}: apt install locales")
    return {"LOCPATH": str(tmp_path), "LC_ALL": f"{request.param}.UTF-8"}


def test_numbers_have_a_point_in_every_locale(built, comma, golden_copy, tmp_path):
    def alter(manifest: dict) -> None:
        manifest["thresholds"] = [0.75] * 4

    bundle = golden_copy(tmp_path / "bundle", alter)
    image = bundle / "selftest" / "red.jpg"
    lines = built.probe("threads", f"{bundle}\n{image}\n".encode(), **comma).decode().splitlines()
    with runtime.load(bundle, name="ov-fp32") as predictor:
        expected = predictor.predict(image)[0].labels
    for found in map(json.loads, lines):
        assert found["labels"] == pytest.approx(expected, abs=1e-6)


def test_fractions_of_a_manifest_are_read_in_every_locale(built, comma, golden_copy, tmp_path):
    """A threshold above 1 is refused, so one whose fraction is lost would be taken."""

    def alter(manifest: dict) -> None:
        manifest["thresholds"][0] = 1.25

    data = (golden_copy(tmp_path / "bundle", alter) / "manifest.json").read_bytes()
    (line,) = built.probe("manifests", blobs([data]), **comma).decode().splitlines()
    assert "a threshold is not within 0 and 1" in line


def test_without_memory_an_error_leaves_and_large_images_are_not_copied(built, golden_copy, tmp_path):
    bundle = golden_copy(tmp_path / "bundle")
    lines = built.probe("memory", f"{bundle}\n{bundle / 'selftest' / 'red.jpg'}\n".encode()).decode().splitlines()
    assert lines == ["image: ok", "json: ok", "bundle: ok", "copies: 0"]
