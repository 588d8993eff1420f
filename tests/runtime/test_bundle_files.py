"""A bundle's files are what its manifest lists, or an error: reference logits, altered and linked files."""

import hashlib
import io
import json
import os

import numpy as np
import pytest

from edgedistill import runtime
from edgedistill.runtime.bundle import open_bundle
from edgedistill.runtime.errors import BundleError


def reference_file(root, data: bytes) -> None:
    """Put `data` in the place of the reference logits, with a manifest that lists it correctly."""
    path = root / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    entry = manifest["references"][0]["file"]
    entry.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    (root / entry["path"]).write_bytes(data)
    path.write_text(json.dumps(manifest), encoding="utf-8")


def npy(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def header(text: str, version: int = 1) -> bytes:
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode()


GOOD = np.zeros((12, 4), np.float32)
ARRAYS = {
    "empty": b"",
    "garbage": b"\x00" * 100,
    "text": b"0.1,0.2\n",
    "magic alone": b"\x93NUMPY",
    "half a header": npy(GOOD)[:40],
    "a pickle": npy(np.array([{"a": 1}], object), allow_pickle=True),
    "strings": npy(np.array([["a", "b", "c", "d"]])),
    "float64": npy(GOOD.astype(np.float64)),
    "big-endian": npy(GOOD.astype(">f4")),
    "column by column": npy(np.asfortranarray(GOOD + np.arange(4, dtype=np.float32))),
    "another number of classes": npy(GOOD[:, :3]),
    "one dimension": npy(GOOD[:, 0]),
    "no dimension": npy(np.float32(1)[()]),
    "half the rows": npy(GOOD)[:-16],
    "a row too many": npy(GOOD) + b"\0" * 16,
    "not a whole number": npy(GOOD)[:-3],
    "364 TiB": header("{'descr': '<f4', 'fortran_order': False, 'shape': (25000000000000, 4), }\n"),
    "a negative shape": header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }\n") + b"\0" * 32,
    "code": header("__import__('os').system('false')\n"),
    "another version": b"\x93NUMPY\x09\x00" + npy(GOOD)[8:],
    "a long header": header("{" + "(" * 60_000 + "\n", 2),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_reference_logits_that_are_no_logits_are_one_clear_line(golden_copy, tmp_path, name):
    root = golden_copy(tmp_path / "b")
    fingerprint = open_bundle(root).manifest.references[0].fingerprint
    reference_file(root, ARRAYS[name])
    with pytest.raises(BundleError, match=r"reference.flat\.npy: no float32 \(N, 4\) array \(.*\)\. Export") as caught:
        open_bundle(root).reference_logits(fingerprint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_reference_logits_of_each_numpy_format_are_read(golden_copy, tmp_path, version):
    root = golden_copy(tmp_path / "b")
    values = np.arange(48, dtype=np.float32).reshape(12, 4)
    values[3] = np.nan
    reference_file(root, npy(values, version=version))
    bundle = open_bundle(root)
    read = bundle.reference_logits(bundle.manifest.references[0].fingerprint)
    np.testing.assert_array_equal(read, values)
    read[0] = 1  # the caller's own


def test_a_file_that_was_altered_after_the_bundle_was_opened_is_not_served(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b")
    bundle = open_bundle(root)
    entry, sha = bundle.manifest.artifacts[0].files[0], bundle.manifest_sha256
    bundle.read(entry)
    path = root / entry.path
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleError, match="SHA-256 differs from the manifest: altered after export, not loaded"):
        bundle.read(entry)
    with pytest.raises(BundleError, match="no artifact could be run here"):
        runtime.selftest(bundle, artifacts=["ort-fp32"])
    (root / "manifest.json").write_text("{}")
    assert bundle.manifest_sha256 == sha


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.unlink(), "listed in the manifest but missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has 520 bytes, the manifest says 521: truncated?"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "has more than the 521 bytes"),
        (lambda path: (path.unlink(), path.mkdir()), "is not a regular file"),
    ],
    ids=["missing", "truncated", "longer", "a folder"],
)
def test_a_damaged_file_is_named(golden_copy, tmp_path, change, says):
    root = golden_copy(tmp_path / "b")
    change(root / "onnx" / "model.fp32.onnx")
    bundle = open_bundle(root)
    with pytest.raises(BundleError, match=r"model\.fp32\.onnx") as caught:
        bundle.read(bundle.manifest.artifacts[0].files[0])
    assert says in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_place_of_a_file_does_not_wait(golden_copy, tmp_path):
    root = golden_copy(tmp_path / "b")
    for name in ("onnx/model.fp32.onnx", "manifest.json"):
        (root / name).unlink()
        os.mkfifo(root / name)
        with pytest.raises(BundleError, match=f"{name}: is not a regular file"):
            read_everything(root)


def read_everything(root) -> None:
    bundle = open_bundle(root)
    for entry in bundle.manifest.files():
        bundle.read(entry)


def link(place, target) -> None:
    try:
        place.symlink_to(target)
    except OSError as error:
        pytest.skip(f"this system makes no links here ({error})")


@pytest.mark.parametrize("name", ["onnx/model.fp32.onnx", "onnx", "manifest.json", "selftest/red.jpg"])
def test_a_link_is_not_followed_out_of_the_bundle(golden_copy, tmp_path, name):
    root = golden_copy(tmp_path / "b")
    elsewhere = tmp_path / "elsewhere"
    (root / name).rename(elsewhere)
    link(root / name, elsewhere)
    with pytest.raises(BundleError, match=f"{name}: is a link, which may lead out of the bundle: not followed"):
        read_everything(root)


def test_the_bundle_s_own_folder_may_be_a_link(golden_copy, tmp_path):
    link(tmp_path / "latest", golden_copy(tmp_path / "b"))
    assert runtime.selftest(tmp_path / "latest", artifacts=["ort-fp32"]).passed
