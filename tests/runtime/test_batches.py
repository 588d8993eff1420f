import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgedistill.runtime.batches import SkippedImage, decode_batches
from edgedistill.runtime.errors import DataError
from edgedistill.runtime.preprocess import LOADERS, Preprocessing, load

TINY = Preprocessing(size=(4, 6))
BAD = np.zeros((2, 2), np.int32)


def picture(value):
    return np.full((4, 6, 3), value % 256, np.uint8)


def collected(batches):
    indices, images = zip(*batches, strict=True)
    return np.concatenate(indices), np.concatenate(images)


def test_files_and_arrays_come_out_as_load_gives_them(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    Image.fromarray(noise).save(tmp_path / "b.png")
    sources = [tmp_path / "a.jpg", noise, str(tmp_path / "b.png")]
    batches = list(decode_batches(sources, TINY, 2))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1], [2]]
    assert all(batch.indices.dtype == np.int64 and batch.images.dtype == np.uint8 for batch in batches)
    expected = np.stack([load(source, TINY) for source in sources])
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]), expected)


@settings(max_examples=40, deadline=None)
@given(
    bad=st.lists(st.booleans(), max_size=30),
    batch_size=st.integers(1, 7),
    threads=st.integers(1, 4),
)
def test_order_is_kept_and_batches_close_up(bad, batch_size, threads):
    sources = [BAD if broken else picture(i) for i, broken in enumerate(bad)]
    batches = decode_batches(sources, TINY, batch_size, threads=threads, max_bad_share=1)
    found = list(batches)
    good = [i for i, broken in enumerate(bad) if not broken]
    assert [i for batch in found for i in batch.indices] == good
    assert all((batch.images == batch.indices[:, None, None, None]).all() for batch in found)
    assert all(len(batch.indices) == batch_size for batch in found[:-1])
    assert [skipped.index for skipped in batches.skipped] == [i for i, broken in enumerate(bad) if broken]


def test_order_does_not_depend_on_how_long_an_image_takes(monkeypatch):
    rng = random.Random(0)

    def slow(source, preprocessing):
        time.sleep(rng.random() / 500)
        return load(source, preprocessing)

    monkeypatch.setitem(LOADERS, "full", slow)
    indices, images = collected(decode_batches([picture(i) for i in range(100)], TINY, 8, threads=4))
    assert indices.tolist() == list(range(100))
    assert images[:, 0, 0, 0].tolist() == list(range(100))


def decoding_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


class Counted(Sequence):
    """100,000 images that exist only when asked for."""

    def __init__(self):
        self.asked = 0

    def __len__(self):
        return 100_000

    def __getitem__(self, index):
        self.asked = max(self.asked, index + 1)
        return picture(index)


def test_decoding_runs_ahead_by_a_bounded_number_of_images_and_stops_with_the_reader():
    images = Counted()
    for batch in decode_batches(images, TINY, 8, threads=2):
        if batch.indices[0] >= 80:
            break
    del batch
    assert images.asked <= 88 + 8 + 2 * 2 + 1
    deadline = time.monotonic() + 5
    while decoding_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not decoding_threads()


def test_skipped_images_are_named_with_the_reason(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    sources = [tmp_path / "text.jpg", picture(1), tmp_path / "gone.jpg", BAD]
    batches = decode_batches(sources, TINY, 4, max_bad_share=0.75)
    assert [batch.indices.tolist() for batch in batches] == [[1]]
    assert batches.skipped[1] == SkippedImage(2, str(tmp_path / "gone.jpg"), "no such image")
    assert batches.skipped[0].reason.startswith("cannot be decoded (not an image")
    assert batches.skipped[2].id == "image 3"
    assert batches.summary().startswith("3 of 4 images skipped: ")
    named = decode_batches(sources, TINY, 4, ids=list("abcd"), max_bad_share=0.75)
    list(named)
    assert [skipped.id for skipped in named.skipped] == ["a", "c", "d"]
    list(named)
    assert len(named.skipped) == 3, "a second pass starts afresh"


@pytest.mark.parametrize(
    ("bad", "total", "share", "passes"),
    [
        (0, 1, 0, True),
        (1, 50, 0, False),
        (1, 50, 0.01, True),  # below one image: one is tolerated
        (2, 50, 0.01, False),
        (3, 300, 0.01, True),
        (4, 300, 0.01, False),
        (1, 1, 0.5, False),  # never all of them
        (5, 5, 1, True),
    ],
)
def test_the_tolerated_share(bad, total, share, passes):
    sources = [BAD] * bad + [picture(i) for i in range(total - bad)]
    batches = decode_batches(sources, TINY, 16, max_bad_share=share)
    if passes:
        assert sum(len(batch.indices) for batch in batches) == total - bad
        return
    with pytest.raises(DataError, match=rf"{bad} of the first {bad} of {total} images cannot be decoded.*image 0 \("):
        list(batches)


def test_the_error_names_the_first_few():
    ids = [f"{i}.jpg" for i in range(10)]
    with pytest.raises(DataError) as caught:
        list(decode_batches([BAD] * 10, TINY, 2, ids=ids, max_bad_share=0.5))
    message = str(caught.value)
    assert "6 of the first 6 of 10" in message
    assert "2.jpg (" in message
    assert "3.jpg" not in message
    assert "and 3 more" in message


@pytest.mark.parametrize("fault", [RuntimeError("Decoding of color planes failed"), struct.error("bad EXIF")])
def test_whatever_pillow_raises_is_the_image_s_fault(monkeypatch, tmp_path, fault):
    def broken(source, **options):
        raise fault

    path = tmp_path / "a.avif"
    path.write_bytes(b"anything")
    monkeypatch.setattr(Image, "open", broken)
    batches = decode_batches([path], TINY, 1, max_bad_share=1)
    assert list(batches) == []
    reason = f"cannot be decoded (truncated or damaged: {fault}). Replace or remove the file"
    assert batches.skipped == [SkippedImage(0, str(path), reason)]


def test_an_open_file_is_read_and_named_by_its_name(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(picture(7)).save(path)
    with path.open("rb") as good, (tmp_path / "bad.png").open("w+b") as bad:
        bad.write(b"no image")
        bad.seek(0)
        batches = decode_batches([good, bytearray(path.read_bytes()), bad], TINY, 3, max_bad_share=0.5)
        (batch,) = batches
    assert batch.indices.tolist() == [0, 1]
    assert (batch.images == 7).all()
    assert [skipped.id for skipped in batches.skipped] == [str(tmp_path / "bad.png")]
    assert batches.skipped[0].reason.startswith("cannot be decoded (not an image")


def test_a_fault_that_is_not_the_image_s_is_not_swallowed(monkeypatch):
    def broken(source, preprocessing):
        raise ZeroDivisionError

    monkeypatch.setitem(LOADERS, "full", broken)
    with pytest.raises(ZeroDivisionError):
        list(decode_batches([picture(0)], TINY, 1, max_bad_share=1))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"threads": 0}, {"max_bad_share": 1.5}, {"ids": ["a", "b"]}])
def test_impossible_arguments(wrong):
    with pytest.raises(ValueError, match=r"at least 1|ids for"):
        decode_batches([picture(0)], TINY, **{"batch_size": 1, **wrong})


ENDLESS = """
import signal, time
import numpy as np
from edgedistill.runtime import batches, preprocess
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
image = np.zeros((4, 6, 3), np.uint8)
preprocess.LOADERS["full"] = lambda source, preprocessing: time.sleep(source) or image
seconds = [0] * 64 + [0.3] * 100_000
for _ in batches.decode_batches(seconds, preprocess.Preprocessing(size=(4, 6)), 64):
    print("batch", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process on Windows")
def test_ctrl_c_stops_promptly():
    process = subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"batch\n"
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert time.monotonic() - sent < 5, "the 68 waiting images alone would take 10 s"
    assert b"KeyboardInterrupt" in errors


def test_images_may_be_read_from_elsewhere():
    def read(index: int) -> np.ndarray:
        if index == 1:
            raise DataError("1.jpg: gone")
        return np.full((4, 4, 3), index, np.uint8)

    names = [f"{index}.jpg" for index in range(5)]  # none exists
    batches = decode_batches(names, Preprocessing(size=(4, 4)), 2, max_bad_share=0.5, read=read)
    found = [(batch.indices.tolist(), batch.images[:, 0, 0, 0].tolist()) for batch in batches]
    assert found == [([0, 2], [0, 2]), ([3, 4], [3, 4])]
    assert [image.id for image in batches.skipped] == ["1.jpg"]
