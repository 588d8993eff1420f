"""What an image may come as; and that nothing makes anyone wait."""

import array
import io
import os
import socket
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded, picture
from PIL import Image

from edgedistill.runtime.errors import DataError
from edgedistill.runtime.images import is_source, source_name, sources
from edgedistill.runtime.preprocess import open_image

PICTURE = picture()
DATA = encoded(PICTURE, "PNG")


class Named(os.PathLike):
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return self.path


class Dripping(io.RawIOBase):
    """Gives a few bytes at a time and cannot be sought, as sockets do."""

    def __init__(self, data):
        self.data = data

    def read(self, size=-1):
        part, self.data = self.data[:7], self.data[7:]
        return part


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(DATA)
    return path


def test_every_source_gives_the_same_pixels(path, tmp_path):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("photo.png", DATA)
    with (
        path.open("rb") as file,
        path.open("rb", buffering=0) as unbuffered,
        zipfile.ZipFile(archive) as photos,
        photos.open("photo.png") as member,
    ):
        given = {
            "Path": path,
            "str": str(path),
            "os.PathLike": Named(str(path)),
            "os.PathLike of bytes": Named(os.fsencode(path)),
            "bytes": DATA,
            "bytearray": bytearray(DATA),
            "memoryview": memoryview(DATA),
            "strided memoryview": memoryview(bytes(np.repeat(np.frombuffer(DATA, np.uint8), 2)))[::2],
            "memoryview of shorts": memoryview(array.array("H", DATA + bytes(len(DATA) % 2))),
            "BytesIO": io.BytesIO(DATA),
            "open file": file,
            "unbuffered": unbuffered,
            "member of an archive": member,
            "dripping": Dripping(DATA),
            "Pillow": Image.open(path),
            "array": PICTURE,
        }
        for name, source in given.items():
            assert is_source(source)
            np.testing.assert_array_equal(open_image(source), PICTURE, err_msg=name)
        assert not file.closed
        assert not unbuffered.closed


def test_a_file_object_is_read_from_where_it_stands(path):
    stream = io.BytesIO(b"a header" + DATA)
    stream.seek(8)
    np.testing.assert_array_equal(open_image(stream), PICTURE)
    assert stream.tell() == 8 + len(DATA)
    with pytest.raises(DataError, match="the image: is empty.*where it stands"):
        open_image(stream)
    stream.seek(8)
    np.testing.assert_array_equal(open_image(stream), PICTURE)


def test_a_sequence_of_images_is_no_source():
    for value in ([DATA], (PICTURE,), iter([DATA]), range(3), None, 3):
        assert not is_source(value)


class Asynchronous:
    async def read(self, size=-1):
        return DATA


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (io.StringIO("text"), 'not bytes. Open it with mode "rb"'),
        (Asynchronous(), "gave coroutine, not bytes"),
        (3, "type int is not an image"),
        (None, "type NoneType is not an image"),
        ([DATA], "type list is not an image"),
        (b"", "is empty"),
        (io.BytesIO(), "is empty"),
        (b"text", "not an image of a known format"),
        ("", "'': no such image"),
        ("a\0b", r"a\x00b: cannot be read (embedded null byte)"),
        ("line\nbreak.jpg", r"line\nbreak.jpg: no such image"),
        ("x" * 5000, "File name too long"),
        (Path("nowhere/photo.jpg"), "photo.jpg: no such image"),
    ],
)
def test_what_is_no_image_gets_one_line(source, reason):
    with pytest.raises(DataError) as caught:
        open_image(source)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_closed_file_or_image_is_said_to_be_closed(path):
    with path.open("rb") as file:
        pass
    image = Image.open(path)
    image.close()
    for source in (file, image):
        with pytest.raises(DataError, match="closed"):
            open_image(source)


def test_a_file_that_cannot_be_read_or_is_empty(path, tmp_path):
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(DataError, match=r"empty\.jpg: is empty"):
        open_image(empty)
    with pytest.raises(DataError, match=r"photo\.png.*no such image"):
        open_image(path / "below.jpg")


def test_a_file_beyond_the_limit_is_not_read(path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_BYTES", len(DATA))
    np.testing.assert_array_equal(open_image(path), PICTURE)
    monkeypatch.setattr(sources, "MAX_BYTES", len(DATA) - 1)
    for source in (path, DATA, io.BytesIO(DATA)):
        with pytest.raises(DataError, match="MiB that an image file may have"):
            open_image(source)
    with pytest.raises(DataError, match="MiB"):
        open_image(Dripping(bytes(1 << 20)))


def refused_at_once(path: Path) -> str:
    found = []

    def decode() -> None:
        try:
            open_image(path)
        except DataError as error:
            found.append(str(error))

    thread = threading.Thread(target=decode, daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert found, "it waits"
    return found[0]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_only_regular_files_are_opened(tmp_path):
    fifo, link = tmp_path / "fifo.jpg", tmp_path / "link.jpg"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        assert "a socket" in refused_at_once(tmp_path / "socket")
    assert refused_at_once(fifo) == f"{fifo}: is a FIFO, not an image file. Give a file."
    assert "a FIFO" in refused_at_once(link)
    assert "a folder" in refused_at_once(tmp_path)
    for device in ("/dev/zero", "/dev/null", "/dev/tty"):
        if Path(device).exists():
            assert "a device" in refused_at_once(Path(device))
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert "cannot be read" in refused_at_once(tmp_path / "loop.jpg")


def test_names(path):
    with path.open("rb") as file:
        assert source_name(file) == str(path)
    with open(os.open(path, os.O_RDONLY), "rb") as numbered:  # noqa: PTH123
        assert source_name(numbered) == "the image"
    assert source_name(io.BytesIO(), "image 3") == "image 3"
    assert source_name(PICTURE) == source_name(DATA) == "the image"
