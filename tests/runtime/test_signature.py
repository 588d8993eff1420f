"""A bundle that its maker signed: whatever was altered, stripped or signed by another is refused in one line."""

import base64
import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from edgedistill import runtime
from edgedistill.runtime.bundle import open_bundle, zip_bundle
from edgedistill.runtime.bundle.keys import public_key_text, read_private_key, read_public_key, write_new_key
from edgedistill.runtime.bundle.signature import Signature, signer_of
from edgedistill.runtime.bundle.signing import sign_bundle
from edgedistill.runtime.errors import BundleError, ConfigError, EdgedistillError, MissingDependencyError

ed25519 = pytest.importorskip(
    "cryptography.hazmat.primitives.asymmetric.ed25519", reason="the extra `sign` is not installed"
)
from cryptography.hazmat.primitives import serialization  # noqa: E402

PAGE = (Path(__file__).parents[2] / "docs" / "signing.md").read_text(encoding="utf-8")
MAKER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY, OTHER = (public_key_text(one.public_key().public_bytes_raw()) for one in (MAKER, STRANGER))


@pytest.fixture
def signed(golden_copy, tmp_path) -> Path:
    root = golden_copy(tmp_path / "b")
    sign_bundle(open_bundle(root), MAKER)
    return root


@pytest.fixture(params=["folder", "zip"])
def either(request, signed, tmp_path) -> Path:
    """The signed bundle as a folder and as a .zip."""
    return signed if request.param == "folder" else zip_bundle(open_bundle(signed), tmp_path / "b.zip")


def replace(bundle: Path, name: str, content: bytes | None) -> None:
    """Exchange or strip a file of a bundle."""
    if bundle.is_dir():
        (bundle / name).unlink() if content is None else (bundle / name).write_bytes(content)
        return
    with zipfile.ZipFile(bundle) as old:
        entries = {info.filename: old.read(info) for info in old.infolist()}
    entries.pop(name)
    with zipfile.ZipFile(bundle, "w") as new:
        for path, data in {**entries, **({} if content is None else {name: content})}.items():
            new.writestr(path, data)


def test_signing_leaves_the_manifest_as_it_is_and_the_key_opens_the_bundle(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b")
    before = (root / "manifest.json").read_bytes()
    assert public_key_text(sign_bundle(open_bundle(root), MAKER)) == KEY
    assert (root / "manifest.json").read_bytes() == before
    with runtime.load(root, backend="onnxruntime", require_signature=KEY) as predictor:
        assert "red" in predictor.predict(root / "selftest" / "red.jpg")[0].labels


def test_every_use_of_a_bundle_asks_for_the_signature(either):
    flat = either.parent / "labels.csv"
    flat.write_text("path,labels\nred.jpg,red\n")
    uses = (
        lambda key: runtime.load(either, require_signature=key),
        lambda key: runtime.load(open_bundle(either), require_signature=key),
        lambda key: runtime.selftest(either, require_signature=key),
        lambda key: runtime.verify(either, flat, require_signature=key),
        lambda key: runtime.benchmark(either, require_signature=key),
        lambda key: open_bundle(either, require_signature=key),
    )
    for use in uses:
        with pytest.raises(BundleError, match=rf"b(\.zip)?: is signed by {re.escape(KEY)}, not by {re.escape(OTHER)}"):
            use(OTHER)
    assert runtime.selftest(either, backend="onnxruntime", require_signature=KEY).passed


def test_a_stripped_signature_is_refused(either):
    replace(either, "signature.json", None)
    with pytest.raises(BundleError, match=r"is not signed, and ed25519:\S+ must have signed it\. Not loaded\."):
        open_bundle(either, require_signature=KEY)
    assert open_bundle(either).manifest.name == "tiny"  # whoever asks for none needs none


def test_an_altered_manifest_is_refused_before_it_is_decoded(either, monkeypatch):
    manifest = open_bundle(either).manifest_bytes
    replace(either, "manifest.json", manifest + b"\n")  # the same JSON in other bytes
    monkeypatch.setattr("edgedistill.runtime.bundle.opened.decode_manifest", None)
    with pytest.raises(BundleError, match=r"manifest\.json: the signature beside it does not fit it: .* altered"):
        open_bundle(either, require_signature=KEY)


def test_an_altered_file_is_refused_by_the_hash_that_was_signed(either):
    content = bytearray(open_bundle(either).read(open_bundle(either).manifest.artifacts[0].files[0]))
    content[-1] ^= 1
    replace(either, "onnx/model.fp32.onnx", bytes(content))
    with pytest.raises(BundleError, match="SHA-256 differs from the manifest"):
        runtime.load(either, backend="onnxruntime", require_signature=KEY)


def test_another_s_signature_moved_here_is_refused(signed, golden_copy, tmp_path):
    other = golden_copy(tmp_path / "other", lambda manifest: manifest.update(name="other"))
    shutil.copy(signed / "signature.json", other)
    with pytest.raises(BundleError, match="does not fit"):
        open_bundle(other, require_signature=KEY)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "damaged, or no signature"),
        (b"\xff", "damaged, or no signature"),
        (b"[" * 200_000, "damaged, or no signature"),
        (b'{"schema_version": 1, "algorithm": "ed25519"}', "missing required field"),
        (b'{"schema_version":1,"algorithm":"ed25519","public_key":"?","signature":"AA=="}', "damaged"),
        (b'{"schema_version":1,"algorithm":"ed25519","public_key":"AA==","signature":"AA=="}', "does not fit"),
        (b'{"schema_version":2,"algorithm":"ed25519","public_key":"AA==","signature":"AA=="}', "schema 2.*upgrade"),
        (b'{"schema_version":1,"algorithm":"rot13","public_key":"AA==","signature":"AA=="}', "'rot13'.*upgrade"),
    ],
)
def test_a_damaged_signature_is_one_line(signed, content, says):
    (signed / "signature.json").write_bytes(content)
    with pytest.raises(BundleError, match=says) as caught:
        open_bundle(signed, require_signature=KEY)
    assert "\n" not in str(caught.value)


def test_every_changed_byte_of_a_signature_is_refused(signed):
    path = signed / "signature.json"
    right = path.read_bytes()
    accepted = []
    for place in range(len(right)):
        path.write_bytes(right[:place] + bytes([right[place] ^ 1]) + right[place + 1 :])
        try:
            open_bundle(signed, require_signature=KEY)
        except EdgedistillError:
            continue
        accepted.append(msgspec.json.decode(path.read_bytes(), type=Signature))
    assert set(accepted) <= {msgspec.json.decode(right, type=Signature)}  # white space, and bits that base64 drops


def test_a_link_in_place_of_the_signature_is_not_followed(signed, tmp_path):
    (signed / "signature.json").rename(tmp_path / "elsewhere.json")
    (signed / "signature.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleError, match="is a link"):
        open_bundle(signed, require_signature=KEY)


def test_a_damaged_bundle_is_not_signed(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b")
    (root / "onnx" / "model.fp32.onnx").write_bytes(b"x" * 521)
    with pytest.raises(BundleError, match="SHA-256 differs"):
        sign_bundle(open_bundle(root), MAKER)
    assert not (root / "signature.json").exists()


def test_a_zip_is_signed_where_it_is_and_keeps_what_else_it_holds(golden_copy, tmp_path):
    root, archive = golden_copy(tmp_path / "b"), tmp_path / "b.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            packed.write(path, f"inside/{path.relative_to(root).as_posix()}")
        packed.writestr("notes.txt", "mine")
    with zipfile.ZipFile(archive) as packed:
        before = {info.filename: (info.CRC, info.compress_type, info.date_time) for info in packed.infolist()}
    for key in (STRANGER, MAKER):  # again, by another: the signature is replaced
        sign_bundle(open_bundle(archive), key)
    with zipfile.ZipFile(archive) as packed:
        after = {info.filename: (info.CRC, info.compress_type, info.date_time) for info in packed.infolist()}
        assert len(packed.namelist()) == len(after)
    assert set(after) - set(before) == {"inside/signature.json"}
    assert before.items() <= after.items()
    assert runtime.selftest(archive, backend="onnxruntime", require_signature=KEY).passed


def test_a_zip_that_cannot_be_packed_anew_stays_as_it_is(golden_copy, tmp_path):
    archive = zip_bundle(open_bundle(golden_copy(tmp_path / "b")), tmp_path / "b.zip")
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("notes.txt", "mine " * 100)
        start = packed.getinfo("notes.txt").header_offset + 30 + len("notes.txt")
    data = bytearray(archive.read_bytes())
    data[start] = 0xFF  # no kind of block that deflate has
    archive.write_bytes(data)
    with pytest.raises(EdgedistillError, match="cannot be packed anew"):
        sign_bundle(open_bundle(archive), MAKER)
    assert archive.read_bytes() == data
    assert {path.name for path in tmp_path.iterdir()} == {"b", "b.zip"}


def test_a_model_file_cannot_have_been_signed(tiny_bundle):
    with pytest.raises(BundleError, match=r"model\.fp32\.onnx: is no bundle, so nobody can have signed it"):
        runtime.load(tiny_bundle / "onnx" / "model.fp32.onnx", require_signature=KEY)


def test_a_manifest_cannot_list_its_own_signature(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b", lambda m: m["artifacts"][0]["files"][0].update(path="Signature.json"))
    with pytest.raises(BundleError, match=r"Signature\.json: may not be listed"):
        open_bundle(root)


def test_without_cryptography_a_wanted_signature_names_the_extra(signed, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "edgedistill\[sign\]"'):
        open_bundle(signed, require_signature=KEY)
    assert open_bundle(signed).manifest.name == "tiny"


def written(folder: Path) -> dict[str, Path]:
    """The maker's public key in every form that is read."""
    public = MAKER.public_key()
    forms = {
        "text": f"{KEY}\n".encode(),
        "pem": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "openssh": public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        + b" ann@lab",
    }
    for name, content in forms.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in forms}


@pytest.mark.parametrize("form", ["text", "pem", "openssh"])
def test_a_public_key_is_read_in_every_form(signed, tmp_path, form):
    path = written(tmp_path)[form]
    for key in (path, str(path)):
        assert open_bundle(signed, require_signature=key).manifest.name == "tiny"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no Ed25519 public key"),
        (b"\xff\xfe", "is no text"),
        (b"ssh-rsa AAAA", "no Ed25519 public key"),
        (b"ed25519:AAAA", "44 characters of base64"),
        ("ed25519:é".encode(), "is no text"),
        (b"-----BEGIN PRIVATE KEY-----", r"is a private key: give the public one, .*k\.pub"),
    ],
)
def test_what_is_no_public_key_is_one_line(signed, tmp_path, content, says):
    (tmp_path / "k").write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        open_bundle(signed, require_signature=tmp_path / "k")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["nowhere.pub", "", "ed25519:", KEY[:-1], f"{KEY[:-1]}é"])
def test_a_mistyped_key_is_one_line(signed, key):
    with pytest.raises(ConfigError):
        open_bundle(signed, require_signature=key)


@pytest.mark.parametrize("password", [None, "böse"])
def test_a_new_key_is_for_its_owner_alone_and_signs(golden_copy, tmp_path, password):
    path = tmp_path / "keys" / "my.key"
    public = write_new_key(path, password)
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o077 == 0
    assert read_public_key(path.with_name("my.key.pub")) == public
    asked = []
    private = read_private_key(path, lambda: asked.append(1) or "böse")
    assert asked == ([] if password is None else [1])
    root = golden_copy(tmp_path / "b")
    sign_bundle(open_bundle(root), private)
    assert signer_of(open_bundle(root).storage, open_bundle(root).manifest_bytes) == public


def test_no_key_is_ever_overwritten(tmp_path):
    (tmp_path / "a.pub").write_text("mine")
    with pytest.raises(ConfigError, match=r"a\.pub: is there already"):
        write_new_key(tmp_path / "a", None)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pub"]


def test_wrong_passwords_and_other_keys_are_one_line(tmp_path):
    from cryptography.hazmat.primitives.asymmetric import ec

    write_new_key(tmp_path / "a", "right")
    with pytest.raises(ConfigError, match="or the wrong password"):
        read_private_key(tmp_path / "a", lambda: "wrong")
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ec").write_bytes(other)
    with pytest.raises(ConfigError, match="not an Ed25519 key"):
        read_private_key(tmp_path / "ec", lambda: "")
    ssh = MAKER.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    (tmp_path / "id_ed25519").write_bytes(ssh)
    assert read_private_key(tmp_path / "id_ed25519", lambda: "").public_key() == MAKER.public_key()


def test_the_page_lists_the_keys_of_the_signature():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert tuple(rows) == Signature.__struct_fields__


def test_the_signature_is_of_the_manifest_s_very_bytes_as_the_page_says(signed, monkeypatch):
    """The page's snippet, for readers in other languages, and a vector that every Ed25519 library gives."""
    found = json.loads((signed / "signature.json").read_text())
    assert base64.b64decode(found["signature"]) == MAKER.sign((signed / "manifest.json").read_bytes())
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(signed.parent)
    signed.rename("bundle")
    exec(snippet, {"trusted": KEY})
    with pytest.raises(AssertionError):
        exec(snippet, {"trusted": OTHER})
