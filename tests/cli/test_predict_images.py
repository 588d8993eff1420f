"""What `predict` takes for an image, what it says of the others, and of photographs on which nothing is sure."""

import io
import json
import os
import signal
import socket
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from edgedistill.cli.photos import find_photos
from edgedistill.runtime.datasets.images import images_by_stem
from edgedistill.runtime.images import image_suffixes, open_image


@pytest.fixture
def within_a_minute():
    """A command that waits for a pipe would wait without end."""

    def give_up(*_):
        pytest.fail("it hangs")  # not an Exception, which would be taken for a fault of the image

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def photos(tiny_bundle, tmp_path):
    """A folder with a photograph beside what is none."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "red.JPG").write_bytes((tiny_bundle / "selftest" / "red.jpg").read_bytes())
    (folder / "teal.jpg").write_bytes((tiny_bundle / "selftest" / "teal.jpg").read_bytes())
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.mark.usefixtures("within_a_minute")
def test_only_regular_files_are_read(command, tiny_bundle, photos, monkeypatch):
    os.mkfifo(photos / "pipe.jpg")
    monkeypatch.chdir(photos)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
        code, out, err = command("predict", tiny_bundle, ".", "/dev/null", "pipe.jpg")
    assert code == 2
    assert [line.partition(":")[0] for line in out.splitlines()] == ["teal.jpg", "below/red.JPG"]
    assert [line for line in err.splitlines() if line.startswith("skipped")] == [
        "skipped: pipe.jpg: is not a regular file.",
        "skipped: socket.png: is not a regular file.",
        "skipped: /dev/null: is not a regular file.",
        "skipped: pipe.jpg: is not a regular file.",
    ]
    assert err.endswith("error: 4 of 6 images could not be read.\n")


@pytest.mark.usefixtures("within_a_minute")
def test_a_folder_that_links_to_itself_is_walked_once(command, tiny_bundle, photos):
    (photos / "below" / "again").symlink_to(photos)
    (photos / "linked.jpg").symlink_to(photos / "teal.jpg")
    (photos / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    code, out, err = command("predict", tiny_bundle, photos)
    assert code == 2
    shown = [line.partition(":")[0].removeprefix(f"{photos}/") for line in out.splitlines()]
    assert shown == ["linked.jpg", "teal.jpg", "below/red.JPG"]
    assert f"skipped: {photos / 'gone.jpg'}: no such image." in err


def test_a_folder_without_images_costs_no_others(command, tiny_bundle, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, err = command("predict", tiny_bundle, tmp_path / "empty", photos)
    assert code == 2
    assert out.count("\n") == 2
    assert "the folder holds no image (.jpg, .jpeg" in err


def test_paths_on_standard_input(command, tiny_bundle, photos, monkeypatch):
    odd = os.fsencode(photos) + b"/odd\xff.jpg"
    (photos / os.fsdecode(b"odd\xff.jpg")).write_bytes((tiny_bundle / "selftest" / "red.jpg").read_bytes())
    lines = odd + b"\n\n" + os.fsencode(photos / "below") + b"\r\n" + b"nowhere.jpg"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    code, out, _ = command("predict", tiny_bundle, "-", "--json")
    assert code == 2
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["image"].rpartition("/")[2] for row in rows] == ["odd\\xff.jpg", "red.JPG", "nowhere.jpg"]
    assert rows[2] == {"image": "nowhere.jpg", "error": "nowhere.jpg: no such image."}
    assert all(row["labels"]["red"] > 0.9 for row in rows[:2])


def test_a_large_photograph_is_read_without_a_warning(command, tiny_bundle, tmp_path, monkeypatch):
    Image.new("RGB", (16, 16), (200, 20, 20)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)  # Pillow warns above it, and refuses twice as many
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        code, out, _ = command("predict", tiny_bundle, tmp_path / "large.png")
    assert code == 0
    assert "large.png: " in out
    assert not [one for one in warned if "exceeds limit" in str(one.message)]


@pytest.mark.parametrize("lines", [b"", b"\n  \n"])
def test_an_empty_list_on_standard_input_is_told(command, tiny_bundle, monkeypatch, lines):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    code, out, err = command("predict", tiny_bundle, "-")
    assert (code, out) == (2, "")
    assert "standard input: lists no image" in err


@pytest.mark.parametrize(("line", "reason"), [(b"a\0b.jpg", "null byte"), (b"x" * 5000, "File name too long")])
def test_a_path_that_cannot_be(command, tiny_bundle, monkeypatch, line, reason):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
    code, _, err = command("predict", tiny_bundle, "-")
    assert code == 2
    assert f"cannot be opened ({reason})" in " ".join(err.replace("embedded ", "").split())


def test_where_nothing_reaches_its_threshold_the_best_are_shown_and_said_to_be_below(command, tiny_bundle, tmp_path):
    # logits 0.5, 0.25, -0.25, -4: probabilities 0.62, 0.56, 0.44, 0.02
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "black.png")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    manifest = json.loads((tiny_bundle / "manifest.json").read_text())
    for entry in tiny_bundle.iterdir():
        if entry.name != "manifest.json":
            (bundle / entry.name).symlink_to(entry)
    manifest["artifacts"], manifest["thresholds"] = manifest["artifacts"][:1], [0.7] * 4
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    (bundle / "onnx").unlink()
    (bundle / "onnx").mkdir()
    (bundle / "onnx" / "model.fp32.onnx").write_bytes((tiny_bundle / "onnx" / "model.fp32.onnx").read_bytes())
    code, out, err = command("predict", bundle, tmp_path / "black.png")
    assert code == 0, err
    expected = "none reaches its threshold; best: red 0.62  green 0.56  blue 0.44"
    assert out == f"{tmp_path / 'black.png'}: {expected}\n"
    row = json.loads(command("predict", bundle, tmp_path / "black.png", "--json")[1])
    assert row["labels"] == {}
    assert list(row["top"]) == ["red", "green", "blue"]
    assert row["top"]["blue"] == pytest.approx(1 / (1 + np.exp(0.25)), abs=1e-5)
    assert "top" not in json.loads(command("predict", bundle, tmp_path / "black.png", "--json", "--top", 1)[1])
    assert "top" not in json.loads(command("predict", tiny_bundle, tmp_path / "black.png", "--json")[1])


@pytest.mark.parametrize("suffix", [".ppm", ".jfif", ".mpo", ".ico", ".JPE", ".png"])
def test_a_folder_s_images_are_all_that_the_decoder_reads(tmp_path, suffix):
    name = f"photo{suffix}"
    Image.new("RGB", (32, 32), "red").save(tmp_path / name, format={".mpo": "MPO"}.get(suffix))
    (tmp_path / "notes.txt").write_text("no image")
    (photo,) = find_photos([str(tmp_path)])
    assert photo == (tmp_path / name, "")
    assert open_image(photo.path).size == (32, 32)
    assert images_by_stem(tmp_path, ["photo"]) == [tmp_path / name]


def test_suffixes_are_those_of_the_decoder_s_formats_the_usual_ones_first():
    suffixes = image_suffixes()
    assert suffixes[:8] == (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
    assert len(set(suffixes)) == len(suffixes)
    assert ".pdf" not in suffixes  # Pillow writes them
    assert (".avif" in suffixes) == bool(Image.registered_extensions().get(".avif"))
