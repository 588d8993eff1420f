"""The teacher cache on bad days: damage, interruption, full disks, outputs and images that cannot be stored."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from jobs import tint_dataset
from rich.console import Console
from teacher_cases import CHUNK, COUNT, FIELDS, VIEWS, image_files

from edgedistill.distill.data.decoded import DecodedImages
from edgedistill.distill.engine import fit
from edgedistill.distill.engine.world import World
from edgedistill.distill.teacher_cache import CachedSource
from edgedistill.distill.teacher_cache.layout import StorageOrder
from edgedistill.runtime.errors import DataError, EdgedistillError, InterruptedRunError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", FIELDS)
def test_a_damaged_byte_costs_its_chunk_and_is_told(cache_case, name):
    cached = cache_case.open()
    whole, chunk = cache_case.bytes(), cached.layout.chunks[4]  # the second one of view 1
    spoilt = bytearray(whole[f"{name}.f16"])
    spoilt[cached.layout.rows(name, chunk).stop * cached.layout.row_bytes(name) - 1] ^= 1
    (cache_case.folder / f"{name}.f16").write_bytes(spoilt)
    assert cache_case.bytes() != whole
    cache_case.open()
    assert cache_case.teacher.seen == 1 + len(chunk)
    assert cache_case.told.count("\n") == 2
    assert f"1 of 6 parts are damaged and computed again (the first: {name} of view 1, rows 8 to 15)" in cache_case.told
    assert cache_case.bytes() == whole
    cache_case.open()
    assert cache_case.teacher.seen == 0


def test_a_truncated_file_costs_what_is_gone(cache_case):
    cached = cache_case.open()
    whole = cache_case.bytes()
    kept = cached.layout.rows("logits", cached.layout.chunks[3]).stop * cached.layout.row_bytes("logits")
    os.truncate(cache_case.folder / "logits.f16", kept)
    cache_case.open()
    assert cache_case.teacher.seen == 1 + len(cached.layout.chunks[4]) + len(cached.layout.chunks[5])
    assert "2 of 6 parts are damaged" in cache_case.told
    assert cache_case.bytes() == whole


@pytest.mark.parametrize(
    ("gone", "computed"),
    [("chunks-0.jsonl", COUNT * VIEWS), ("pooled.f16", COUNT * VIEWS), ("spec.json", 0), (".lock", 0)],
)
def test_a_file_that_is_gone_is_made_again(cache_case, gone, computed):
    cache_case.open()
    whole = cache_case.bytes()
    (cache_case.folder / gone).unlink(missing_ok=True)
    cache_case.open()
    assert cache_case.teacher.seen in {computed, 1 + computed}
    assert cache_case.bytes() == whole
    cache_case.open()
    assert cache_case.teacher.seen == 0


def test_a_torn_journal_is_read_up_to_the_tear_and_continued_after_it(cache_case):
    cache_case.open()
    journal = cache_case.folder / "chunks-0.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    for computed in (1 + COUNT % CHUNK, 0):
        cache_case.open()
        assert cache_case.teacher.seen == computed
    assert "damaged" not in cache_case.told


@pytest.mark.parametrize("text", ["{", '{"spec": 1}', None])
def test_a_damaged_description_is_replaced_without_computing_anything(cache_case, text):
    cache_case.open()
    path = cache_case.folder / "spec.json"
    good = path.read_text()
    path.write_text(good.replace('"logits": [\n      3', '"logits": [\n      8') if text is None else text)
    assert path.read_text() != good
    cache_case.assert_right(cache_case.open())
    assert cache_case.teacher.seen == 1 + COUNT * VIEWS  # the second by assert_right
    assert path.read_text() == good


def test_ctrl_c_keeps_finished_chunks_and_the_same_command_continues(cache_case):
    cache_case.open()
    whole = cache_case.bytes()
    cache_case.root = cache_case.root.with_name("interrupted")

    def stop(logits):
        if cache_case.teacher.seen == 1 + CHUNK + 5:  # in the middle of the second chunk
            os.kill(os.getpid(), signal.SIGTERM)
        return logits

    cache_case.teacher.spoil = stop
    with pytest.raises(InterruptedRunError, match="teacher cache: stopped; .* The same command continues"):
        cache_case.open()
    cache_case.teacher.spoil = lambda logits: logits
    cache_case.open()
    assert cache_case.teacher.seen == 1 + COUNT * VIEWS - CHUNK
    assert cache_case.bytes() == whole


@pytest.mark.parametrize(("value", "message"), [(float("nan"), "are not finite"), (7e4, r"reach 7e\+04, .*65,504")])
def test_an_output_that_fp16_cannot_hold_names_the_image(cache_case, value, message):
    order = StorageOrder.of(cache_case.dataset)

    def spoil(logits):
        if cache_case.teacher.seen == 1 + 5:
            logits[3, 1] = value
        return logits

    cache_case.teacher.spoil = spoil
    with pytest.raises(
        EdgedistillError, match=f"the teacher's logits of {cache_case.dataset.ids[order.indices[3]]} {message}"
    ):
        cache_case.open()


def test_undecodable_images_are_blank_listed_and_tried_again(cache_case, tmp_path, monkeypatch):
    cache_case.dataset = image_files(cache_case.dataset, tmp_path / "images")
    decode, bad = DecodedImages._decoded, [cache_case.dataset.images[9]]  # of a format that no codec here reads yet

    def decode_all_but(images, path):
        if path in bad:
            raise DataError(f"{path}: cannot be decoded")
        return decode(images, path)

    monkeypatch.setattr(DecodedImages, "_decoded", decode_all_but)
    cached = cache_case.open(max_bad_share=0.05)
    assert cached.undecodable == [9]
    assert all(not getattr(cached.read(torch.tensor([9]), 0), name).any() for name in FIELDS)
    pair, blank = torch.tensor([9, 10]), torch.tensor([True, False])
    assert torch.equal(cached(pair, 0, blank).logits, cached.read(pair, 0).logits)
    with pytest.raises(DataError, match=r"tints-9: could not be decoded when the teacher cache was built"):
        cached(pair, 0, ~blank)
    cache_case.open()
    assert cache_case.teacher.seen == 0
    bad.clear()
    cached = cache_case.open()
    assert cached.undecodable == []
    assert cache_case.teacher.seen == 1 + VIEWS * (COUNT % CHUNK)  # its name is the last of all
    cache_case.assert_right(cached)


def test_a_step_in_pieces_is_planned_where_the_first_image_cannot_be_decoded(make_job, make_model, tmp_path):
    data = image_files(tint_dataset(16), tmp_path / "images")
    data.images[0].write_bytes(b"broken")
    job = make_job(train=data, method="mdkd", accumulate=2, views=1, epochs=2, workers=0)
    assert fit(replace(job, max_bad_share=0.1), make_model(), CachedSource(make_model(seed=1)), Console(quiet=True))


def test_too_many_undecodable_images_stop_the_build(cache_case, tmp_path):
    cache_case.dataset = image_files(cache_case.dataset, tmp_path / "images")
    for index in (2, 9):
        cache_case.dataset.images[index].write_bytes(b"broken")
    with pytest.raises(DataError, match=r"2 of 22 images cannot be decoded \(tints-2, tints-9, \.\.\.\), more than"):
        cache_case.open(max_bad_share=0.05)


def test_too_little_space_is_told_before_anything_is_computed(cache_case, monkeypatch):
    cache_case.open()
    whole = cache_case.bytes()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 500}))
    with pytest.raises(EdgedistillError, match=r"cannot be written \(needs 2\.\d kB more, 500 bytes are free\)"):
        cache_case.open(count=4)
    assert cache_case.teacher.seen == 1
    assert cache_case.bytes() == whole


def test_an_error_of_one_process_is_everybodys():
    class OfTwo(World):
        def gather(self, value):
            return [value, EdgedistillError("the other's disk is full")]

    with pytest.raises(EdgedistillError, match="the other's disk is full"):
        OfTwo(0, 2).together(lambda: "done")
