"""Images that two data sets share, under whatever name."""

import numpy as np
import pytest

from edgedistill.runtime.datasets import Dataset, overlap
from edgedistill.runtime.datasets.overlap import identities, shared_images


def make_dataset(*images):
    names = tuple(map(str, range(len(images))))
    return Dataset("split", ("a",), names, images, np.zeros((len(images), 1), np.int8))


@pytest.fixture
def photographs(tmp_path):
    """Ten files of one size that end alike, and differ."""
    rng = np.random.default_rng(0)
    tail = rng.bytes(overlap._TAIL)
    paths = [tmp_path / f"{i}.jpg" for i in range(10)]
    for path in paths:
        path.write_bytes(rng.bytes(500) + tail)
    return paths


def test_a_file_is_the_same_by_whatever_path_and_so_is_a_copy(photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.png").symlink_to("1.jpg")
    (tmp_path / "copy.png").write_bytes(photographs[2].read_bytes())
    other = make_dataset(tmp_path / "copy.png", tmp_path / "link.png", "0.jpg")
    assert shared_images(make_dataset(*photographs), other).tolist() == [0, 1, 2]
    (tmp_path / "copy.png").write_bytes(photographs[2].read_bytes()[:-1] + b"x")
    assert shared_images(make_dataset(*photographs), other).tolist() == [0, 1]


def test_pixels_and_encoded_bytes_are_compared_by_their_content():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    part = make_dataset(white, black, b"jpeg", black.reshape(2, 8, 3))
    assert shared_images(part, make_dataset(black.copy(), b"jpeg")).tolist() == [1, 2]


def test_what_cannot_be_read_or_is_empty_is_like_nothing_else(tmp_path):
    empty = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for path in empty:
        path.touch()
    (same,) = identities(make_dataset(*empty, tmp_path / "missing.jpg", tmp_path / "gone.jpg"))
    assert len(set(same)) == 4


def test_only_what_may_be_a_copy_is_read(photographs, tmp_path, monkeypatch):
    """Files of a size of their own are not opened, and read to their end only where another ends alike."""
    (tmp_path / "other.jpg").write_bytes(b"of another size")
    (tmp_path / "ends.jpg").write_bytes(b"x" * photographs[0].stat().st_size)
    read = []
    monkeypatch.setattr(overlap, "_tail", lambda path: read.append(path.name) or path.read_bytes()[-9:])
    monkeypatch.setattr(overlap, "sha256_of", lambda path: read.append(path.name) or path.read_bytes())
    paths = [*photographs[:2], tmp_path / "other.jpg", tmp_path / "ends.jpg"]
    assert len(set(identities(make_dataset(*paths))[0])) == 4
    assert sorted(read) == ["0.jpg", "0.jpg", "1.jpg", "1.jpg", "ends.jpg"]
