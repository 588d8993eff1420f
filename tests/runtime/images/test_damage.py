"""Damaged files: an error that says so, never half a picture, whatever the app has set in Pillow."""

import io
import os
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import chunk, encoded, exif, picture
from PIL import Image, ImageFile

from edgedistill.runtime.errors import DataError
from edgedistill.runtime.images import decoding
from edgedistill.runtime.preprocess import Preprocessing, load, open_image

RGB = picture(24, 30)


def two(kind: str) -> bytes:
    return encoded(RGB, kind, save_all=True, append_images=[Image.fromarray(RGB[::-1])])


FILES = {
    "jpeg": encoded(RGB, "JPEG"),
    "progressive jpeg": encoded(RGB, "JPEG", progressive=True),
    "jpeg with exif": encoded(RGB, "JPEG", exif=exif(6)),
    "cmyk jpeg": encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG"),
    "mpo": two("MPO"),
    "png": encoded(RGB, "PNG"),
    "16-bit png": encoded(RGB[..., 0].astype(np.uint16) * 200, "PNG"),
    "palette png": encoded(Image.fromarray(RGB).quantize(20), "PNG", transparency=3),
    "apng": two("PNG"),
    "gif": encoded(Image.fromarray(RGB).quantize(20), "GIF", transparency=3),
    "animated gif": two("GIF"),
    "webp": encoded(RGB, "WEBP"),
    "lossless webp": encoded(RGB, "WEBP", lossless=True, exif=exif(6)),
    "animated webp": two("WEBP"),
    "bmp": encoded(RGB, "BMP"),
    "tiff": encoded(RGB, "TIFF"),
    "deflate tiff": encoded(RGB, "TIFF", compression="tiff_adobe_deflate"),
    "lzw tiff": encoded(RGB, "TIFF", compression="tiff_lzw"),
    "float tiff": encoded(RGB[..., 0].astype(np.float32) / 255, "TIFF"),
    "two tiffs": two("TIFF"),
    "ico": encoded(Image.fromarray(picture(32, 32)), "ICO", sizes=[(32, 32), (16, 16)]),
    "ico of bmp": encoded(Image.fromarray(picture(32, 32)), "ICO", sizes=[(32, 32)], bitmap_format="bmp"),
    "ppm": encoded(RGB, "PPM"),
}
TINY = Preprocessing(size=(5, 6))


def outcome(decode, *arguments) -> np.ndarray | str:
    """The pixels, or the error's line."""
    try:
        return np.asarray(decode(*arguments))
    except DataError as error:
        return str(error)


@pytest.fixture(params=[False, True], ids=["strict app", "lenient app"])
def app(request, monkeypatch) -> bool:
    """Whether the app asks Pillow to fill up truncated files."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)
    return request.param


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Image was not", "ignore::UserWarning")
@pytest.mark.parametrize("kind", FILES)
def test_a_truncated_file_is_the_whole_picture_or_said_to_be_truncated(kind, app):
    data, refused = FILES[kind], 0
    whole = np.asarray(open_image(data))
    for length in range(1, len(data), max(1, len(data) // 150)):
        found = outcome(open_image, data[:length])
        if isinstance(found, str):
            refused += 1
            assert "truncated" in found
            assert found.isprintable()
        else:
            np.testing.assert_array_equal(found, whole)
    assert refused > 40
    assert app == ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_checksum_that_does_not_fit_is_an_error(app):
    broken = bytearray(FILES["png"])
    broken[broken.index(b"IDAT") + 40] ^= 1
    with pytest.raises(DataError, match="truncated or damaged"):
        open_image(bytes(broken))


def test_the_app_s_wish_is_put_back_after_the_last_thread(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    half = FILES["jpeg"][:-100]
    outcomes = []

    def decode() -> None:
        for _ in range(30):
            outcomes.append(outcome(open_image, half))
            open_image(FILES["png"])

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 120
    assert all(isinstance(found, str) for found in outcomes)
    assert ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_while_another_thread_decodes_can_decode():
    with decoding._STRICTLY._lock:
        child = os.fork()
        if not child:
            try:
                open_image(FILES["png"])
                os._exit(0)
            finally:
                os._exit(1)
    deadline = time.monotonic() + 20
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child waits for a lock that nobody holds")
        time.sleep(0.01)
    assert ended[1] == 0


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "lzw tiff", "gif"])
def test_a_truncated_pillow_image_is_refused_each_time(kind, tmp_path):
    cut = FILES[kind][: 2 * len(FILES[kind]) // 3]
    path = tmp_path / "cut"
    path.write_bytes(cut)
    for source in (io.BytesIO(cut), path):
        try:
            image = Image.open(source)
        except (OSError, ValueError):
            continue  # Pillow itself refuses
        for _ in range(3):
            with pytest.raises(DataError, match="truncated"):
                open_image(image)


def test_what_was_refused_for_its_pixels_can_still_be_used():
    image = Image.open(io.BytesIO(encoded(RGB[..., 0].astype(np.float32), "TIFF")))
    with pytest.raises(DataError, match="floating-point"):
        open_image(image)
    assert np.asarray(image).max() == RGB[..., 0].max()


def test_a_named_file_is_named(tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(FILES["png"][:200])
    with path.open("rb") as stream:
        for source in (path, str(path), stream):
            with pytest.raises(DataError) as caught:
                open_image(source)
            assert str(caught.value).startswith(f"{path}: cannot be decoded (truncated or damaged: ")
            assert str(caught.value).endswith(". Replace or remove the file.")


def test_what_a_library_quotes_of_the_file_is_escaped_and_cut(monkeypatch):
    def broken(*arguments, **options):
        raise ValueError("invalid: \x1b[2J\x07 " + "9" * 5000)

    monkeypatch.setattr(Image, "open", broken)
    found = outcome(open_image, FILES["png"])
    assert r"invalid: \x1b[2J\x07 999" in found
    assert len(found) < 400


def test_a_bomb_within_a_chunk_is_an_error():
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20)))
    bomb = FILES["png"][:33] + text + FILES["png"][33:]
    started = time.monotonic()
    with pytest.raises(DataError, match="too large|Decompressed"):
        open_image(bomb)
    assert time.monotonic() - started < 5


def decodes_or_refuses(data: bytes) -> None:
    started = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "MAX_PIXELS", 10**6)  # a header may claim any size
        found = outcome(load, data, TINY)
    assert time.monotonic() - started < 10
    assert found.isprintable() if isinstance(found, str) else found.shape == (5, 6, 3)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), kind=st.sampled_from(sorted(FILES)))
def test_a_damaged_file_is_an_image_or_refused(data, kind):
    content = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["bit", "byte", "number", "cut out", "doubled", "zeros"]))
        if how == "bit":
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "byte":
            content[place] = data.draw(st.integers(0, 255))
        elif how == "number":
            value = data.draw(st.sampled_from([0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1]))
            content[place : place + 4] = struct.pack(data.draw(st.sampled_from(["<I", ">I"])), value)
        elif how == "cut out":
            del content[place : place + data.draw(st.integers(1, 30))]
        elif how == "doubled":
            content[place:place] = content[place : place + 20]
        else:
            content[place : place + 8] = bytes(len(content[place : place + 8]))
    decodes_or_refuses(bytes(content))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(sorted(FILES)), head=st.integers(0, 60), tail=st.binary(max_size=200))
def test_random_bytes_are_refused_or_an_image(kind, head, tail):
    decodes_or_refuses(FILES[kind][:head] + tail)
