"""Pixels: the resize is Pillow's to the bit, decoding is Pillow's to the level, what is damaged is an error."""

import base64
import hashlib
import io
import json
import os
import random
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cpp_built import blobs
from PIL import Image, features

from edgedistill.runtime.images import open_image
from edgedistill.runtime.preprocess import Preprocessing, normalize, resize

pytestmark = pytest.mark.slow  # a compiler builds the library first

FOLDER = Path(__file__).parents[2] / "docs" / "golden_images"
GOLDEN = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))
READ = (".jpg", ".png")
PILLOW = tuple(int(part) for part in Image.__version__.split(".")[:2])


def answers(out: bytes, count: int) -> list["np.ndarray | str"]:
    """Images uint8 (H, W, 3), or the words of an error."""
    found: list[np.ndarray | str] = []
    place = 0
    while place < len(out):
        height, width = struct.unpack_from("<2i", out, place)
        place += 8
        size = width if height < 0 else height * width * 3
        part = out[place : place + size]
        found.append(part.decode() if height < 0 else np.frombuffer(part, np.uint8).reshape(height, width, 3))
        place += size
    assert len(found) == count
    return found


def decoded(library, data: Sequence[bytes]) -> list["np.ndarray | str"]:
    return answers(library.probe("decode", blobs(data)), len(data))


def resized(library, cases: Sequence[tuple[np.ndarray, Preprocessing]]) -> list[np.ndarray]:
    data = b""
    for image, wanted in cases:
        flags = (wanted.resize == "center_crop", wanted.interpolation == "bicubic")
        data += struct.pack("<6i", *image.shape[:2], *wanted.size, *flags) + image.tobytes()
    return answers(library.probe("resize", data), len(cases))


def difference(a: "np.ndarray | str", b: np.ndarray) -> int:
    assert not isinstance(a, str), a
    return int(np.abs(a.astype(int) - b).max())


def test_the_resize_is_pillows_over_many_sizes(library):
    rng = np.random.default_rng(1)
    cases = []
    for turn in range(600):
        height, width, to_height, to_width = (int(side) for side in np.exp(rng.uniform(0, np.log(180), 4)))
        size = (height if turn % 7 == 0 else to_height, width if turn % 11 == 0 else to_width)
        wanted = Preprocessing(
            size=size,
            resize=("squash", "center_crop")[int(rng.integers(2))],
            interpolation=("bilinear", "bicubic")[int(rng.integers(2))],
        )
        cases.append((rng.integers(0, 256, (height, width, 3), dtype=np.uint8), wanted))
    found = [
        difference(one, resize(Image.fromarray(image), wanted))
        for one, (image, wanted) in zip(resized(library, cases), cases, strict=True)
    ]
    # Older ones never go down before they go across.
    assert max(found) <= (0 if PILLOW >= (13, 0) else 1)


def test_golden_images_are_resized_to_their_pixels(library):
    cases, expected = [], []
    for case in GOLDEN["resized"]:
        wanted = Preprocessing(size=tuple(case["size"]), resize=case["resize"], interpolation=case["interpolation"])
        cases.append((np.asarray(open_image(FOLDER / case["file"])), wanted))
        expected.append(np.frombuffer(base64.b64decode(case["rgb"]), np.uint8).reshape(*case["size"], 3))
    worst = max(difference(one, wanted) for one, wanted in zip(resized(library, cases), expected, strict=True))
    assert worst == 0


def test_golden_images_are_decoded_to_their_pixels(library):
    cases = [case for case in GOLDEN["decoded"] if Path(case["file"]).suffix in READ]
    assert len(cases) > 25
    found = decoded(library, [(FOLDER / case["file"]).read_bytes() for case in cases])
    for case, image in zip(cases, found, strict=True):
        wanted = np.frombuffer(base64.b64decode(case["rgb"]), np.uint8).reshape(case["height"], case["width"], 3)
        allowed = GOLDEN["tolerances"][case["kind"]]["max"]
        assert difference(image, wanted) <= allowed, case["file"]
    for one in decoded(library, [(FOLDER / case["file"]).read_bytes() for case in GOLDEN["refused"]]):
        assert isinstance(one, str)
        assert one.startswith("x: cannot be decoded (")


def random_images(rng: np.random.Generator, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        height, width = (int(side) for side in rng.integers(1, 70, 2))
        mode = ("RGB", "L", "RGBA", "LA", "P", "1")[int(rng.integers(6))]
        coarse = rng.integers(0, 256, (height // 5 + 1, width // 5 + 1, 4), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        image = image.convert("RGB").convert(mode) if mode in ("P", "1", "L") else image.convert(mode)
        stream, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = int(rng.integers(1, 9))
        if rng.integers(2) or mode in ("RGBA", "LA", "P", "1"):
            image.save(stream, "PNG", exif=exif)
        else:
            sampling = {} if mode == "L" else {"subsampling": int(rng.integers(3))}
            image.save(
                stream,
                "JPEG",
                quality=int(rng.integers(30, 98)),
                progressive=bool(rng.integers(2)),
                exif=exif,
                **sampling,
            )
        found.append(stream.getvalue())
    return found


@pytest.mark.skipif(not features.check("libjpeg_turbo"), reason="this Pillow decodes JPEG by another library")
def test_images_of_every_kind_are_decoded_as_pillow_does(library):
    data = random_images(np.random.default_rng(2), 250)
    for one, encoded in zip(decoded(library, data), data, strict=True):
        assert difference(one, np.asarray(open_image(encoded))) == 0


def test_photographs_are_decoded_as_pillow_does(library):
    if "EDGEDISTILL_COCO" not in os.environ:
        pytest.skip("no photographs: set EDGEDISTILL_COCO")
    data = [path.read_bytes() for path in sorted(Path(os.environ["EDGEDISTILL_COCO"]).rglob("*.jpg"))[:6]]
    for one, encoded in zip(decoded(library, data), data, strict=True):
        assert difference(one, np.asarray(open_image(encoded))) <= 1


def test_damaged_images_are_errors_of_one_line_or_images(library):
    rng = random.Random(3)
    whole = random_images(np.random.default_rng(4), 20)
    whole += [(FOLDER / case["file"]).read_bytes() for case in GOLDEN["decoded"] if Path(case["file"]).suffix in READ]
    data = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a"]
    for encoded in whole:
        data.append(encoded[: rng.randrange(len(encoded))])
        for _ in range(8):
            altered = bytearray(encoded)
            for _ in range(rng.choice((1, 1, 3, 20))):
                altered[rng.randrange(len(altered))] = rng.randrange(256)
            data.append(bytes(altered))
    # A header of 60000 x 60000 pixels.
    huge = bytearray((FOLDER / "rgb.png").read_bytes())
    huge[16:24] = struct.pack(">2I", 60000, 60000)
    found = decoded(library, [*data, bytes(huge)])
    errors = [one for one in found if isinstance(one, str)]
    assert len(errors) > len(whole)
    assert all("\n" not in one and one.startswith("x: ") for one in errors)
    cut = [encoded[: 3 * len(encoded) // 4] for encoded in whole]
    for one, part in zip(decoded(library, cut), cut, strict=True):
        # What is left may be whole: the first of two pictures, or all pixels.
        assert isinstance(one, str) or difference(one, np.asarray(open_image(part))) == 0


def test_hashes_are_sha256(library):
    rng = random.Random(5)
    data = [rng.randbytes(length) for length in [*range(200), 4095, 4096, 100_003]]
    assert library.probe("hashes", blobs(data)).decode().split() == [hashlib.sha256(one).hexdigest() for one in data]


def test_float_inputs_are_pythons(library):
    pixels = np.random.default_rng(6).integers(0, 256, (1, 2, 2, 3), dtype=np.uint8)
    found = np.frombuffer(library.probe("normalize", pixels.tobytes()), np.float32).reshape(1, 3, 2, 2)
    assert (found == normalize(pixels, Preprocessing(size=(2, 2)))).all()
