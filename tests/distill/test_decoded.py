"""Decoded images: what is kept is what would be decoded, whatever happened to it."""

import os
import signal
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader

from edgedistill.distill.data.decoded import DecodedImages, release_memory
from edgedistill.distill.data.fast import load_fast
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import DataError
from edgedistill.runtime.images import RULES, decoding, scaled
from edgedistill.runtime.preprocess import Preprocessing, load, load_reduced

SIZE = Preprocessing(size=(24, 32))
BYTES_OF_EIGHT = 8 * (24 * 32 * 3 + 4)


def blocks(height: int, width: int, seed: int) -> Image.Image:
    """Ten-pixel blocks of random colours, blurred into each other."""
    colours = np.random.default_rng(seed).integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BILINEAR)


@pytest.fixture
def photographs(tmp_path) -> Dataset:
    """Eight files: large and small JPEGs, one turned by EXIF, a grey one, PNGs."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    for index in range(8):
        image = blocks(*((230, 310) if index % 2 else (60, 50)), seed=index)
        name = f"{index}.png" if index in (2, 5) else f"{index}.jpg"
        image.convert("L" if index == 3 else "RGB").save(folder / name, exif=turned if index == 7 else Image.Exif())
    paths = sorted(folder.iterdir())
    return Dataset("photographs", ("thing",), tuple(path.name for path in paths), paths, np.zeros((8, 1), np.int8))


@pytest.fixture(autouse=True)
def nothing_held():
    yield
    release_memory()


@pytest.fixture
def decodes(monkeypatch) -> list:
    """What was read to be decoded in this process."""
    read, original = [], decoding.encoded_bytes

    def counted(source):
        if not isinstance(source, bytes):  # which one of the two gives to the other
            read.append(source)
        return original(source)

    for module in (decoding, scaled):
        monkeypatch.setattr(module, "encoded_bytes", counted)
    return read


@pytest.mark.parametrize("cache", ["memory", "disk"])
@pytest.mark.parametrize("decode", ["full", "reduced", "fast"])
def test_what_is_kept_is_what_would_be_decoded(photographs, tmp_path, decodes, cache, decode):
    images = DecodedImages(photographs, SIZE, decode=decode, cache=cache, folder=tmp_path / "cache")
    reference = [
        {"full": load, "reduced": load_reduced, "fast": load_fast}[decode](path, SIZE) for path in photographs.images
    ]
    assert images.cache == cache
    assert images.cache_bytes == BYTES_OF_EIGHT
    for expected_opens in (8, 0, 0):
        decodes.clear()
        for index, expected in enumerate(reference):
            image = images[index]
            assert image.dtype == np.uint8
            np.testing.assert_array_equal(image, expected)
            image[:] = 7  # the caller's own
        assert len(decodes) == expected_opens


def test_nothing_is_kept_when_off(photographs, decodes):
    images = DecodedImages(photographs, SIZE, cache="off")
    assert (images.cache, images.cache_bytes) == ("off", 0)
    np.testing.assert_array_equal(images[1], images[1])
    assert len(decodes) == 2


def test_images_in_memory_can_be_kept_too(tint_dataset):
    data = tint_dataset(3)
    kept = DecodedImages(data, SIZE, cache="memory")
    for index in (0, 1, 2, 0):
        np.testing.assert_array_equal(kept[index], load(data.images[index], SIZE))
    other = replace(data, images=data.images[::-1])  # the same ids
    np.testing.assert_array_equal(DecodedImages(other, SIZE, cache="memory")[0], load(data.images[2], SIZE))


@pytest.mark.parametrize("cache", ["memory", "disk"])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_loading_processes_share_what_is_kept(photographs, tmp_path, cache, workers):
    images = DecodedImages(photographs, SIZE, cache=cache, folder=tmp_path / "cache")
    reference = [load_reduced(path, SIZE) for path in photographs.images]
    loader = DataLoader(images, batch_size=2, num_workers=workers, multiprocessing_context="fork" if workers else None)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([batch.numpy() for batch in loader]), reference)
        for path in photographs.images:
            path.unlink(missing_ok=True)  # what comes now was kept by another process
    np.testing.assert_array_equal(images[4], reference[4])


def test_a_process_started_afresh_shares_what_is_kept(photographs, tmp_path):
    caches = [DecodedImages(photographs, SIZE, cache=cache, folder=tmp_path / "cache") for cache in ("memory", "disk")]
    reference = [load_reduced(path, SIZE) for path in photographs.images]
    loader = DataLoader(ConcatDataset(caches), batch_size=16, num_workers=1, multiprocessing_context="spawn")
    (batch,) = loader
    np.testing.assert_array_equal(batch, reference * 2)
    for path in photographs.images:
        path.unlink()
    for images in caches:
        np.testing.assert_array_equal([images[index] for index in range(8)], reference)


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_an_image_that_cannot_be_decoded_is_told_every_time(photographs, tmp_path, cache):
    path = photographs.images[1]
    path.write_bytes(path.read_bytes()[:900])
    images = DecodedImages(photographs, SIZE, cache=cache, folder=tmp_path)
    for _ in range(2):
        with pytest.raises(DataError, match=r"1\.jpg: cannot be decoded \(.*\)\. Replace or remove the file\."):
            images[1]
    np.testing.assert_array_equal(images[0], load(photographs.images[0], SIZE))


def test_later_runs_use_the_file_until_an_image_or_the_transform_changes(photographs, tmp_path, decodes):
    def opens(data: Dataset, preprocessing: Preprocessing = SIZE, **options) -> int:
        images = DecodedImages(data, preprocessing, cache="disk", folder=tmp_path / "cache", **options)
        decodes.clear()
        pixels = [images[index] for index in range(8)]
        found = len(decodes)
        reference = load if options else load_reduced
        np.testing.assert_array_equal(pixels, [reference(path, preprocessing) for path in data.images])
        return found

    assert [opens(photographs), opens(photographs)] == [8, 0]
    assert opens(replace(photographs, labels=1 - photographs.labels)) == 0
    assert opens(photographs, decode="full") == 8
    assert opens(photographs, Preprocessing(size=(32, 24))) == 8
    path, other = photographs.images[0], photographs.images[4]
    path.write_bytes(other.read_bytes())
    assert opens(photographs) == 8
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # written again with as many bytes
    assert opens(photographs) == 8
    before = path.stat()
    time.sleep(0.02)  # the system's clock of files ticks every few milliseconds
    path.write_bytes(path.read_bytes())  # another file of the same size, with the time of the one before
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert opens(photographs) == 8
    assert len(list((tmp_path / "cache").iterdir())) == 6


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_never_gives_a_wrong_image(tmp_path_factory, data):
    arrays = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    dataset = Dataset("a", ("thing",), tuple("abcdefgh"), arrays, np.zeros((8, 1), np.int8))
    preprocessing, folder = Preprocessing(size=(8, 8)), tmp_path_factory.mktemp("cache")
    for image in (images := DecodedImages(dataset, preprocessing, cache="disk", folder=folder)):
        assert image.shape == (8, 8, 3)
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.sampled_from(["bit", "torn page", "cut off", "everything"]))
    if damage == "bit":
        content[start] ^= 1 << data.draw(st.integers(0, 7))
    elif damage == "torn page":
        content[start : start + 512] = bytes(len(content[start : start + 512]))
    elif damage == "everything":
        content[:] = b"\xff" * len(content)
    file.write_bytes(content[:start] if damage == "cut off" else content)
    images = DecodedImages(dataset, preprocessing, cache="disk", folder=folder)
    np.testing.assert_array_equal([images[index] for index in range(8)], arrays)


def test_a_damaged_image_is_decoded_and_kept_again(photographs, tmp_path, decodes):
    def opened() -> list[str]:
        images = DecodedImages(photographs, SIZE, cache="disk", folder=tmp_path / "cache")
        decodes.clear()
        np.testing.assert_array_equal(images[5], load(photographs.images[5], SIZE))
        return [Path(source).name for source in decodes[:-1]]  # the last is the reference

    assert [opened(), opened()] == [["5.png"], []]
    (file,) = (tmp_path / "cache").iterdir()
    content = bytearray(file.read_bytes())
    content[8 * 4 + 5 * 24 * 32 * 3 + 1000] ^= 4
    file.write_bytes(content)
    assert [opened(), opened()] == [["5.png"], []]


def test_a_killed_process_leaves_what_it_finished(photographs, tmp_path, decodes):
    def fill_and_die() -> None:
        images = DecodedImages(photographs, SIZE, cache="disk", folder=tmp_path / "cache")
        for index in range(3):
            images[index]
        os.kill(os.getpid(), signal.SIGKILL)

    process = get_context("fork").Process(target=fill_and_die)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    images = DecodedImages(photographs, SIZE, cache="disk", folder=tmp_path / "cache")
    found = [images[index] for index in range(8)]
    assert [source.name for source in decodes] == [path.name for path in photographs.images[3:]]
    np.testing.assert_array_equal(found, [load_reduced(path, SIZE) for path in photographs.images])


def test_two_processes_fill_one_file(photographs, tmp_path):
    context = get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()

    def fill() -> None:
        images = DecodedImages(photographs, SIZE, cache="disk", folder=tmp_path / "cache")
        barrier.wait()
        results.put(np.stack([images[index] for _ in range(20) for index in range(8)]))

    processes = [context.Process(target=fill) for _ in range(2)]
    for process in processes:
        process.start()
    reference = [load_reduced(path, SIZE) for path in photographs.images] * 20
    for _ in processes:
        np.testing.assert_array_equal(results.get(timeout=30), reference)
    for process in processes:
        process.join()
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_second_training_finds_the_images_in_memory(photographs, decodes):
    def fill(data: Dataset) -> int:
        decodes.clear()
        images = DecodedImages(data, SIZE, cache="memory")
        for index in range(len(data)):
            images[index]
        return len(decodes)

    assert [fill(photographs), fill(photographs)] == [8, 0]
    assert fill(photographs.subset([0, 1])) == 2
    assert fill(photographs) == 8  # only the latest is held
    release_memory()
    assert fill(photographs) == 8


def test_the_transform_tells_the_decoding_only_where_it_can_matter(photographs, tint_dataset):
    plain = {"size": (24, 32), "resize": "squash", "interpolation": "bilinear", "rules": RULES}
    assert DecodedImages(photographs, SIZE, decode="full").transform == plain
    assert DecodedImages(photographs, SIZE, decode="reduced").transform == plain | {"decode": "reduced"}
    assert DecodedImages(tint_dataset(2), SIZE, decode="reduced").transform == plain


def test_pixels_of_older_rules_are_decoded_anew(photographs, tmp_path, monkeypatch, decodes):
    def opened() -> int:
        images = DecodedImages(photographs, SIZE, cache="disk", folder=tmp_path / "cache")
        decodes.clear()
        for index in range(8):
            images[index]
        return len(decodes)

    assert [opened(), opened()] == [8, 0]
    monkeypatch.setattr("edgedistill.distill.data.decoded.RULES", RULES + 1)
    assert [opened(), opened()] == [8, 0]


def test_arrays_of_the_same_bytes_and_another_dtype_are_other_images(tmp_path):
    values = np.full((1, 8, 8), 0x3C00, np.uint16)  # 1.0 as float16, 60 as a 16-bit level
    found = []
    for images in (values, values.view(np.float16)):
        dataset = Dataset("a", ("thing",), ("a",), images, np.zeros((1, 1), np.int8))
        kept = DecodedImages(dataset, Preprocessing(size=(8, 8)), cache="disk", folder=tmp_path)
        found.append(int(kept[0].max()))
    assert found == [60, 255]
