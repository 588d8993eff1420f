"""`app` as a user calls it."""

import json
import signal
import subprocess
import sys

import pytest

from edgedistill.export.packages import PACKAGES


def test_it_says_what_it_made(tiny_bundle, command, tmp_path):
    code, out, err = command("app", "zip", tiny_bundle, "-o", tmp_path / "tiny.zip")
    assert code == 0, err
    assert out.startswith(f"{tmp_path / 'tiny.zip'}: zip, 1 file, ")
    made = json.loads(command("app", "report", tiny_bundle, "-o", tmp_path / "new" / "page.html", "--json")[1])
    assert (made["kind"], made["files"]) == ("report", 1)


def test_mistakes_take_a_line_and_leave_nothing(tiny_bundle, command, tmp_path):
    for arguments, words in (
        (("webb", tiny_bundle, "-o", tmp_path / "x"), "unknown package 'webb':"),
        (("zip", tmp_path / "none", "-o", tmp_path / "x"), "no such file or folder"),
        (("zip", tiny_bundle, "-o", tiny_bundle), "is there already and not empty"),
        (("zip", tiny_bundle, "-o", tmp_path / "x", "-a", "ort-fp32"), "--artifact: 'zip' takes no such option"),
        (("zip", tiny_bundle, "-o", tmp_path / "x", "--assets", "."), "--assets: 'zip' takes no such option"),
    ):
        code, out, err = command("app", *arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_told_to_end_leaves_nothing(tiny_bundle, command, tmp_path, monkeypatch):
    """SIGTERM, which would end Python at once."""

    def make(bundle, out):
        out.write_text("half")
        signal.raise_signal(signal.SIGTERM)

    assert PACKAGES.get("zip") is not make  # all are found before one is exchanged
    monkeypatch.setitem(PACKAGES._entries, "zip", make)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it must not end the tests
    try:
        code, _, err = command("app", "zip", tiny_bundle, "-o", tmp_path / "tiny.zip")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (code, err.splitlines()[-1]) == (130, "error: interrupted.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["web", "node"])
def test_what_a_kind_cannot_run_is_told(golden_copy, command, tmp_path, kind):
    def others(manifest: dict) -> None:
        manifest["artifacts"] = [one for one in manifest["artifacts"] if one["target"]["backend"] != "onnxruntime"]

    root = golden_copy(tmp_path / "b", others)
    code, out, err = command("app", kind, root, "-o", tmp_path / "x")
    assert (code, out) == (2, "")
    assert f"no artifact for '{kind}', which runs those of onnxruntime" in err
    assert "Export one with `--target onnxruntime-cpu-fp32`." in err
    assert err.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_without_npm_the_way_out_is_told(tiny_bundle, command, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EDGEDISTILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEDISTILL_ASSETS", raising=False)
    code, out, err = command("app", "web", tiny_bundle, "-o", tmp_path / "x")
    assert (code, out) == (3, "")
    assert "comes from npm, not installed here. Install Node.js with npm, or give --assets FOLDER" in err
    assert list(tmp_path.iterdir()) == []


def test_it_needs_no_torch(tiny_bundle, tmp_path):
    program = (
        "import sys\nfor name in ('torch', 'onnx', 'onnxruntime'): sys.modules[name] = None\n"
        "from edgedistill.cli import main\nmain()"
    )
    arguments = [sys.executable, "-c", program, "app", "zip", str(tiny_bundle), "-o", str(tmp_path / "tiny.zip")]
    assert subprocess.run(arguments, check=False).returncode == 0
