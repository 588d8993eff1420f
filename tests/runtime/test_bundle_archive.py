"""A bundle in a .zip: read in place, never unpacked, and whatever is wrong with the archive is one clear line."""

import hashlib
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime.bundle import open_bundle, zip_bundle
from edgedistill.runtime.errors import BundleError, EdgedistillError

MODEL = "onnx/model.fp32.onnx"


@pytest.fixture
def root(golden_copy, tmp_path) -> Path:
    return golden_copy(tmp_path / "b")


def pack(root: Path, out: Path, *, method: int = zipfile.ZIP_DEFLATED, inside: str = "") -> Path:
    """As any program packs a folder, results and all."""
    with zipfile.ZipFile(out, "w", method) as archive:
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            archive.write(path, inside + path.relative_to(root).as_posix())
    return out


def read_model(archive: Path) -> bytes:
    bundle = open_bundle(archive)
    return bundle.read(bundle.manifest.artifacts[0].files[0])


def header_of(archive: Path, name: str) -> tuple[int, int]:
    """Offsets of an entry's local header and of its record in the central directory."""
    data = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        local = opened.getinfo(name).header_offset
    return local, next(
        at
        for at in range(len(data))
        if data[at : at + 4] == b"PK\x01\x02" and data[at + 46 : at + 46 + len(name)] == name.encode()
    )


def patch(archive: Path, at: int, new: bytes) -> None:
    data = bytearray(archive.read_bytes())
    data[at : at + len(new)] = new
    archive.write_bytes(bytes(data))


@pytest.mark.parametrize("inside", ["", "my bundle/", "a/b/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_zip_however_it_was_packed_is_the_bundle(root, tmp_path, method, inside):
    archive = pack(root, tmp_path / "b.zip", method=method, inside=inside)
    assert runtime.selftest(archive, backend="onnxruntime").passed
    bundle = open_bundle(archive)
    assert bundle.manifest_bytes == (root / "manifest.json").read_bytes()
    assert bundle.reference_logits(bundle.manifest.references[0].fingerprint).shape == (12, 4)


def test_our_own_zip_holds_what_the_manifest_lists_and_nothing_else(root, tmp_path):
    (root / "secret.txt").write_text("mine")
    archive = zip_bundle(open_bundle(root), tmp_path / "b.zip")
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
    listed = {"manifest.json", *(entry.path for entry in open_bundle(root).manifest.files())}
    assert sorted(names) == sorted(listed)
    assert read_model(archive) == (root / MODEL).read_bytes()


def test_an_altered_file_is_not_packed(root, tmp_path):
    bundle = open_bundle(root)
    (root / MODEL).write_bytes(b"x" * 521)
    with pytest.raises(BundleError, match="SHA-256 differs"):
        zip_bundle(bundle, tmp_path / "b.zip")


def test_nothing_is_unpacked(root, tmp_path, monkeypatch):
    archive = pack(root, tmp_path / "b.zip")
    empty = tmp_path / "temporary"
    empty.mkdir()
    script = (
        "import sys, tempfile; from edgedistill import runtime\n"
        "assert runtime.selftest(sys.argv[1], backend='onnxruntime').passed\n"
        "bundle = runtime.open_bundle(sys.argv[1]); [bundle.read(e) for e in bundle.manifest.files()]\n"
        "import os; print([name for name in os.listdir(tempfile.gettempdir()) if name != '.ses'])"  # onnxruntime's own
    )
    monkeypatch.setenv("TMPDIR", str(empty))
    done = subprocess.run([sys.executable, "-c", script, str(archive)], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_replaced_archive_is_the_new_bundle(root, tmp_path, golden_copy):
    archive = pack(root, tmp_path / "b.zip")
    old = open_bundle(archive)
    other = golden_copy(tmp_path / "other", lambda manifest: manifest.update(name="new"))
    (other / MODEL).write_bytes(b"new")
    pack(other, tmp_path / "new.zip").replace(archive)
    assert open_bundle(archive).manifest.name == "new"
    with pytest.raises(BundleError, match="has 3 bytes, the manifest says 521"):
        old.read(old.manifest.artifacts[0].files[0])


def test_results_lie_beside_and_the_archive_stays_as_it_is(root, tmp_path):
    archive = pack(root, tmp_path / "b.zip")
    before = archive.read_bytes()
    images = np.zeros((4, 16, 16, 3), np.uint8)
    data = runtime.Dataset(
        "d", ("red", "green", "blue", "bright"), tuple("abcd"), list(images), np.eye(4, dtype=np.int8)
    )
    runtime.verify(archive, data, backend="onnxruntime")
    assert archive.read_bytes() == before
    assert list((tmp_path / "b.results").rglob("*-verify-*.json"))


def test_a_bomb_is_not_unpacked(root, tmp_path):
    """2.9 MB that would become 3 GB, correctly listed; memory stays that of a small file."""
    size = 300 << 20
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
        manifest["artifacts"][0]["files"][0]["bytes"] = size
        archive.writestr("manifest.json", json.dumps(manifest))
        with archive.open(MODEL, "w", force_zip64=True) as stream:
            for _ in range(size >> 20):
                stream.write(bytes(1 << 20))
    with pytest.raises(BundleError, match=r"would unpack from [\d,]+ to 314,572,800 bytes: not loaded"):
        read_model(tmp_path / "b.zip")


def test_an_entry_larger_than_it_is_listed_is_not_read_to_its_end(root, tmp_path):
    (root / MODEL).write_bytes(bytes(range(256)) * 400_000)  # 100 MB
    archive = pack(root, tmp_path / "b.zip", method=zipfile.ZIP_STORED)
    with pytest.raises(BundleError, match="has more than the 521 bytes that the manifest says"):
        read_model(archive)


@pytest.mark.parametrize(
    ("flag", "says"), [(1, "is encrypted: unpack it with its password"), (0x41, "is encrypted"), (0x20, "damaged")]
)
def test_an_encrypted_entry_is_named(root, tmp_path, flag, says):
    archive = pack(root, tmp_path / "b.zip")
    local, central = header_of(archive, MODEL)
    patch(archive, local + 6, struct.pack("<H", flag))
    patch(archive, central + 8, struct.pack("<H", flag))
    with pytest.raises(BundleError, match=r"b\.zip: onnx/model\.fp32\.onnx: ") as caught:
        read_model(archive)
    assert says in str(caught.value)


def test_an_encrypted_manifest_is_named(root, tmp_path):
    archive = pack(root, tmp_path / "b.zip")
    local, central = header_of(archive, "manifest.json")
    patch(archive, local + 6, b"\1")
    patch(archive, central + 8, b"\1")
    with pytest.raises(BundleError, match=r"b\.zip: manifest\.json: is encrypted"):
        open_bundle(archive)


@pytest.mark.parametrize("method", [1, 9, 93, 98, 99])
def test_an_unknown_method_is_named(root, tmp_path, method):
    archive = pack(root, tmp_path / "b.zip")
    local, central = header_of(archive, MODEL)
    patch(archive, local + 8, struct.pack("<H", method))
    patch(archive, central + 10, struct.pack("<H", method))
    with pytest.raises(BundleError, match=f"is packed by method {method}: pack it stored or deflated"):
        read_model(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_methods_that_some_pythons_lack_are_refused_everywhere(root, tmp_path, method):
    archive = pack(root, tmp_path / "b.zip", method=method)
    with pytest.raises(BundleError, match=f"packed by method {method}"):
        open_bundle(archive)


@pytest.mark.parametrize("place", [0, 1, 7, 100])
def test_corrupt_deflate_is_one_clear_line(root, tmp_path, place):
    archive = pack(root, tmp_path / "b.zip")
    local, _ = header_of(archive, MODEL)
    start = local + 30 + len(MODEL)
    patch(archive, start + place, bytes(byte ^ 0xFF for byte in archive.read_bytes()[start + place :][:4]))
    with pytest.raises(BundleError, match=r"model\.fp32\.onnx: is damaged in the archive \(.*\)\. Copy") as caught:
        read_model(archive)
    assert "\n" not in str(caught.value)


def test_every_single_corrupt_byte_gives_the_right_file_or_one_clear_line(root, tmp_path):
    """Also in the directory, the headers and the sizes."""
    for extra in ("selftest", "reference", "openvino", "results"):
        shutil.rmtree(root / extra)
    archive, broken = pack(root, tmp_path / "b.zip"), tmp_path / "broken.zip"
    data, right = archive.read_bytes(), read_model(archive)
    rng = np.random.default_rng(0)
    refused = 0
    for at in [*range(0, len(data), 7), *range(len(data) - 260, len(data))]:
        changed = bytearray(data)
        changed[at] ^= int(rng.integers(1, 256))
        broken.write_bytes(changed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile's about names
            try:
                assert read_model(broken) == right
            except EdgedistillError as error:
                refused += 1
                assert "\n" not in str(error)  # noqa: PT017
    assert refused > 100


@pytest.mark.parametrize("keep", [0, 1, 22, 500, -1, -22])
def test_a_truncated_archive_is_one_clear_line(root, tmp_path, keep):
    archive = pack(root, tmp_path / "b.zip")
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(BundleError, match=r"b\.zip: (not a readable \.zip|manifest\.json: )"):
        read_model(archive)


def test_an_archive_without_a_manifest_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("photo.jpg", b"x")
    with pytest.raises(BundleError, match=r"b\.zip: not a bundle \(no manifest\.json\)"):
        open_bundle(tmp_path / "b.zip")


def test_a_folder_or_nothing_called_zip(root, tmp_path):
    assert open_bundle(root.rename(tmp_path / "folder.zip")).manifest.name == "tiny"
    with pytest.raises(BundleError, match=r"absent\.zip: no such file"):
        open_bundle(tmp_path / "absent.zip")


def test_an_entry_that_is_there_twice_is_refused(root, tmp_path):
    archive = pack(root, tmp_path / "b.zip")
    with warnings.catch_warnings(), zipfile.ZipFile(archive, "a") as opened:
        warnings.simplefilter("ignore")
        opened.writestr(MODEL, b"another")
    with pytest.raises(BundleError, match="is in the archive 2 times: not loaded"):
        read_model(archive)


def test_two_manifests_are_one_bundle_s_only_where_one_lies_above_the_other(root, tmp_path):
    archive = pack(root, tmp_path / "b.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("app/manifest.json", b"{}")
    assert open_bundle(archive).manifest.name == "tiny"
    two = tmp_path / "two.zip"
    with zipfile.ZipFile(two, "w") as opened:
        for name in ("a/manifest.json", "b/manifest.json"):
            opened.write(root / "manifest.json", name)
    with pytest.raises(BundleError, match=r"two\.zip: holds 2 bundles \(a, b\): unpack it, and give one"):
        open_bundle(two)


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "..\\escaped", "C:/escaped"])
def test_names_that_leave_the_archive_are_never_written_anywhere(root, tmp_path, name):
    archive = pack(root, tmp_path / "b.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(name, b"x")
    before = sorted(tmp_path.rglob("*"))
    assert runtime.selftest(archive, backend="onnxruntime").passed
    assert sorted(tmp_path.rglob("*")) == before
    assert not (Path(tempfile.gettempdir()) / "escaped").exists()


def test_a_link_stored_in_an_archive_is_just_bytes(root, tmp_path):
    archive = tmp_path / "b.zip"
    (root / MODEL).unlink()
    pack(root, archive)
    with zipfile.ZipFile(archive, "a") as opened:
        info = zipfile.ZipInfo(MODEL)
        info.create_system, info.external_attr = 3, 0o120777 << 16
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(BundleError, match="has 11 bytes, the manifest says 521"):
        read_model(archive)


def test_an_archive_that_was_tampered_with_is_refused(root, tmp_path):
    data = (root / MODEL).read_bytes()
    (root / MODEL).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert hashlib.sha256((root / MODEL).read_bytes()).hexdigest() != hashlib.sha256(data).hexdigest()
    with pytest.raises(BundleError, match="its SHA-256 differs from the manifest: altered after export, not loaded"):
        read_model(pack(root, tmp_path / "b.zip"))
