"""`sign`, and --require-signature on every command that opens a bundle."""

import os
import stat

import pytest
import typer


@pytest.fixture(scope="module")
def maker(tmp_path_factory, command):
    """A key, and its public text."""
    path = tmp_path_factory.mktemp("keys") / "release.key"
    code, out, _ = command("sign", "--new-key", path)
    assert code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = path.with_name("release.key.pub")
    os.umask(umask := os.umask(0o022))
    assert stat.S_IMODE(public.stat().st_mode) == 0o644 & ~umask  # others are to have it
    text = public.read_text().strip()
    assert text in out
    return path, text


@pytest.fixture
def signed(maker, golden_copy, tmp_path, command):
    root = golden_copy(tmp_path / "b")
    assert command("sign", root, "--key", maker[0]) == (0, f"{root}: signed by {maker[1]}\n", "")
    return root


def test_every_command_takes_the_signed_and_refuses_any_other(signed, maker, golden_copy, tmp_path, command):
    unsigned = golden_copy(tmp_path / "unsigned")
    photo, labels = signed / "selftest" / "red.jpg", tmp_path / "labels.csv"
    labels.write_text("path,labels\nb/selftest/red.jpg,red\n")
    commands = (
        ["predict", "{}", photo, "--backend", "onnxruntime"],
        ["selftest", "{}", "--backend", "onnxruntime"],
        ["verify", "{}", "--data", labels, "--backend", "onnxruntime"],
        ["bench", "{}", "--preset", "demo", "--backend", "onnxruntime"],
        ["inspect", "{}"],
        ["check", "{}", "--images", signed / "selftest", "--backend", "onnxruntime"],
        ["app", "zip", "{}", "-o", tmp_path / "app"],
        ["serve", "{}"],
    )
    for words in commands:
        given = [str(word).replace("{}", str(unsigned)) for word in words]
        code, out, err = command(*given, "--require-signature", f"{maker[0]}.pub")
        assert (code, out) == (2, "")
        assert err == f"error: {unsigned}: is not signed, and {maker[1]} must have signed it. Not loaded.\n"
    for words in (commands[0], commands[4]):
        given = [str(word).replace("{}", str(signed)) for word in words]
        assert command(*given, "--require-signature", maker[1])[0] == 0
        assert command(*given, f"--require-signature={maker[1]}")[0] == 0  # which ends with "=" itself


def test_inspect_says_who_signed(signed, maker, golden_copy, tmp_path, command):
    assert f"\nsigned by {maker[1]}\n" in command("inspect", signed)[1]
    assert "\nnot signed\n" in command("inspect", golden_copy(tmp_path / "other"))[1]
    manifest = signed / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    for options in ([], ["--json"]):
        code, out, err = command("inspect", signed, *options)
        assert (code, out) == (2, "")
        assert "the signature beside it does not fit it" in err


def test_one_command_makes_a_key_and_signs(golden_copy, tmp_path, command, monkeypatch):
    root, key = golden_copy(tmp_path / "b"), tmp_path / "k"
    monkeypatch.setenv("EDGEDISTILL_KEY_PASSWORD", "secret")
    code, out, _ = command("sign", root, "--new-key", key, "--protect")
    assert code == 0
    assert f"{root}: signed by " in out
    assert b"ENCRYPTED" in key.read_bytes()
    assert command("sign", root, "--key", key)[0] == 0
    monkeypatch.setenv("EDGEDISTILL_KEY_PASSWORD", "wrong")
    code, _, err = command("sign", root, "--key", key)
    assert (code, err.count("\n")) == (2, 1)
    assert "or the wrong password" in err


def test_no_key_is_made_for_what_is_no_bundle(tmp_path, command):
    code, _, err = command("sign", tmp_path, "--new-key", tmp_path / "k")
    assert (code, err.count("\n")) == (2, 1)
    assert list(tmp_path.iterdir()) == []


def test_leaving_the_question_for_a_password_is_an_interruption(golden_copy, tmp_path, command, monkeypatch):
    key = tmp_path / "k"
    with monkeypatch.context() as patch:
        patch.setenv("EDGEDISTILL_KEY_PASSWORD", "secret")
        assert command("sign", "--new-key", key, "--protect")[0] == 0

    def leave(*_, **__):
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", leave)
    assert command("sign", golden_copy(tmp_path / "b"), "--key", key)[0] == 130


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --key FILE"),
        (["--key", "a", "--new-key", "b"], "give --key FILE"),
        (["--key", "a"], "give the bundle that is to be signed"),
        (["--key", "a", "--protect"], "goes with --new-key"),
        (["nowhere", "--key", "a"], "nowhere: no such file or folder"),
        (["{bundle}", "--key", "nowhere"], "nowhere: no such file"),
        (["{bundle}", "--key", "{bundle}/manifest.json"], "no private key that can be read"),
        (["{bundle}", "--key", "{public}"], "is a public key: give the private one"),
    ],
)
def test_a_mistake_is_one_line(tiny_bundle, command, tmp_path, arguments, says):
    public = tmp_path / "release.key.pub"
    public.write_text(f"ed25519:{'A' * 43}=\n")
    places = {"bundle": tiny_bundle, "public": public}
    code, out, err = command("sign", *(word.format(**places) for word in arguments))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
