"""Names that a terminal library takes for markup appear as they are, and break nothing."""

import json
import shutil
import sys

import pytest

CLASSES = ["[bold]", "[/x]", "[red]blue[/red]", ":dog: \\"]
ARTIFACTS = ["[bold]a", "b[/x]", "[red]c[/]"]


@pytest.fixture
def bundle(make_tiny_bundle, tmp_path):
    bundle = make_tiny_bundle(tmp_path / "[bold]bundle[" / "x]")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest |= {"name": "[i]tiny[/x]", "classes": CLASSES}
    manifest["provenance"] |= {"model": "[/net]", "created": "[/when]", "edgedistill": "[/v]"}
    for artifact, name in zip(manifest["artifacts"], ARTIFACTS, strict=True):
        artifact["name"] = artifact["target"]["name"] = name
        artifact["reason"] = "[/why]"
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return bundle


def test_predict(command, bundle):
    odd = bundle / "[red]odd[" / "x].jpg"  # a path that holds [/x]
    odd.parent.mkdir()
    shutil.copy(bundle / "selftest" / "red.jpg", odd)
    code, out, _ = command("predict", bundle, odd, "--top", 4)
    assert code == 0
    assert out.startswith(f"{odd}: ")
    assert all(f"{name} 0." in out or f"{name} 1." in out for name in CLASSES)
    odd.write_bytes(b"no image")
    code, _, err = command("predict", bundle, odd)
    assert code == 2
    assert f"skipped: {odd}: cannot be decoded" in err
    assert str(odd) in command("predict", bundle, odd, "--json")[1]


def test_inspect(command, bundle):
    code, out, _ = command("inspect", bundle)
    assert code == 0
    assert ", ".join(CLASSES) in out
    assert f"[i]tiny[/x]  {bundle}" in out
    assert "[/net], 4 classes" in out
    assert "made [/when] by edgedistill [/v]" in out
    assert all(name in out for name in ARTIFACTS)
    assert "[/why]" in out


def test_inspect_of_a_model_file(command, bundle):
    odd = bundle / "[red]m[" / "x].onnx"
    odd.parent.mkdir()
    shutil.copy(bundle / "onnx" / "model.fp32.onnx", odd)
    code, out, _ = command("inspect", odd)
    assert code == 0
    assert f"{odd}  a model file" in out
    assert "file  x].onnx  " in out


def test_verify_and_selftest(command, bundle, tmp_path):
    labels = tmp_path / "[b]labels[i].csv"
    labels.write_text(f"path,labels\nred.jpg,{CLASSES[0]}\nteal.jpg,{CLASSES[1]}\n[/bad].jpg,{CLASSES[2]}\n")
    (bundle / "selftest" / "[").mkdir()
    (bundle / "selftest" / "[" / "bad].jpg").write_bytes(b"no image")
    code, out, err = command(
        "verify", bundle, "--data", labels, "--images", bundle / "selftest", "--max-bad-share", 0.5, "-a", ARTIFACTS[0]
    )
    assert code == 5, err  # no gate
    assert ARTIFACTS[0] in out
    assert "on [b]labels[i]" in out
    assert "skipped  [/bad].jpg:" in out
    code, out, err = command("selftest", bundle)
    assert code == 0, err
    assert all(name in out for name in ARTIFACTS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predikt[/x]"], "No such command 'predikt[/x]'"),
        (["predict", "[/x]", "photo.jpg"], "[/x]: no such file or folder"),
        (["predict", "{bundle}", "photo.jpg", "--backend", "[/x]"], "holds no artifact for [/x]"),
        (["predict", "{bundle}", "photo.jpg", "--[/x]"], "No such option: --[/x]"),
        (["list", "[/x]"], "[/x]"),
        (["verify", "{bundle}", "--data", "[/x].csv"], "[/x].csv: no such file"),
    ],
)
def test_errors(command, bundle, arguments, message):
    code, out, err = command(*(argument.format(bundle=bundle) for argument in arguments))
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err


@pytest.fixture
def usage(command, monkeypatch):
    """A command's help in a terminal of a given width."""

    def told_at(width, *arguments):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "argv", ["edgedistill"])
        return command(*arguments, "--help")[1]

    return told_at


@pytest.mark.parametrize("name", ["predict", "verify", "selftest", "bench", "run", "export"])
def test_help_flows_to_the_width(usage, name):
    lines = usage(80, name).splitlines()
    example = next(number for number, line in enumerate(lines) if line.strip().startswith("Example: "))
    paragraph = [line.strip() for line in lines[3:example] if line.strip()]
    assert all(len(line) <= 80 for line in lines)
    assert all(line.endswith((".", "?")) or len(line) > 55 for line in paragraph), paragraph


def test_no_name_steers_the_terminal(command, make_tiny_bundle, tmp_path):
    evil = "\x1b[2J\x1b]0;owned\x07\r\nerror"
    root = make_tiny_bundle(tmp_path / "bundle")
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["provenance"] |= {"model": evil, "created": evil, "edgedistill": evil}
    unknown = {"backend": evil, "precision": evil, "name": "unknown"}
    manifest["artifacts"].append(manifest["artifacts"][0] | {"name": "unknown", "target": unknown})
    for artifact in manifest["artifacts"]:
        artifact["reason"] = evil
    (root / "manifest.json").write_text(json.dumps(manifest))
    labels = tmp_path / "labels.csv"
    labels.write_text("path,labels\nred.jpg,red\nteal.jpg,green\n")
    for arguments in (
        ["inspect", root],
        ["selftest", root],
        ["verify", root, "--data", labels, "--images", root / "selftest"],
    ):
        _, out, err = command(*arguments)
        assert "\\x1b[2J" in out, err
        assert not {"\x1b", "\x07", "\r"} & set(out + err)
        assert not any(line.startswith("error") for line in out.splitlines())
    assert "\x1b" in json.loads(command("inspect", root, "--json")[1])["provenance"]["model"]


def test_a_name_that_would_steer_the_terminal_is_refused_in_one_line(command, make_tiny_bundle, tmp_path):
    root = make_tiny_bundle(tmp_path / "bundle")
    manifest = json.loads((root / "manifest.json").read_text())
    for changed in (
        manifest | {"name": "tiny\x1b[2J"},
        manifest | {"classes": ["red\n", "green", "blue", "bright"]},
        manifest | {"artifacts": [manifest["artifacts"][0] | {"name": "a\rb"}]},
    ):
        (root / "manifest.json").write_text(json.dumps(changed))
        code, out, err = command("inspect", root)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "holds line ends or control characters" in err
