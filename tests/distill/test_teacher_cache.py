"""The teacher cache: what is read is what the teacher said, and nothing damaged or stale is ever read."""

import io
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from teacher_cases import COUNT, VIEWS, AllFields, image_files
from torch import nn

from edgedistill.distill.teacher_cache import CachedTeacher, opening, progress
from edgedistill.distill.teacher_cache import image_files as image_files_module
from edgedistill.distill.teacher_cache.layout import Layout, StorageOrder
from edgedistill.distill.teacher_cache.store import Store
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_cached_outputs_are_the_live_ones_in_fp16(cache_case):
    cache_case.assert_right(cache_case.open())
    assert cache_case.told.count("\n") == 1
    assert "22 images x 2 views, logits (3) and pooled (12) and calibration logits (3)" in cache_case.told
    assert "44 of 44 outputs are to be computed" in cache_case.told
    size = 2 * VIEWS * (COUNT * (3 + 12 + 3 + 6) + 5 * int((cache_case.dataset.labels == 1).sum()))
    assert sum(map(len, cache_case.bytes().values())) == size


def test_loading_processes_change_nothing(cache_case):
    cache_case.open()
    alone = cache_case.bytes()
    cache_case.root = cache_case.root.with_name("again")
    cache_case.open(workers=2)
    assert cache_case.bytes() == alone


def test_the_models_of_this_package_teach_from_a_cache(cache_case, make_model):
    cache_case.teacher = make_model(branches=["ml_decoder"])
    cache_case.teacher.seen = 0
    cached = cache_case.open(needs=frozenset({"embeddings", "pooled"}))
    indices = torch.tensor([3, 0, 21])
    read, live = cached.read(indices, 1), cache_case.live(indices, 1)
    torch.testing.assert_close(read.logits, live.logits, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(read.pooled, live.pooled, rtol=1e-3, atol=1e-4)
    positive = torch.from_numpy(cache_case.dataset.labels[indices.numpy()] == 1)
    torch.testing.assert_close(read.embeddings[positive], live.embeddings[positive], rtol=1e-3, atol=1e-3)
    assert read.features is None


def test_a_complete_cache_is_read_without_the_network_or_a_place_to_write(cache_case, monkeypatch):
    cache_case.open()
    files = {path: path.stat().st_mtime_ns for path in [cache_case.folder, *cache_case.folder.iterdir()]}
    monkeypatch.setattr(opening, "TeacherRows", None)
    monkeypatch.setattr(opening, "only_builder", None)
    cache_case.assert_right(cache_case.open())
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert cache_case.told == f"teacher cache: {cache_case.open().layout}, in {cache_case.folder}\n"


def test_building_and_reading_draw_nothing_from_the_global_generators(cache_case):
    torch.manual_seed(4)
    state = torch.get_rng_state()
    cache_case.open().read(torch.tensor([1, 2]), 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_only_what_a_method_reads_is_stored(cache_case):
    cached = cache_case.open(needs=frozenset())
    read = cached(torch.tensor([1, 2]), 0, torch.zeros(2, dtype=torch.bool))
    assert read.pooled is read.embeddings is read.partition_logits is None
    assert list(cache_case.bytes()) == ["logits.f16"]


def test_feature_maps_are_refused_with_the_way_out(cache_case):
    with pytest.raises(ConfigError, match=r"`stages`.*`teacher\.cache: false`"):
        cache_case.open(needs=frozenset({"stages"}))


def test_a_teacher_that_lacks_a_field_is_refused(cache_case, make_model):
    cache_case.teacher = make_model()
    with pytest.raises(ConfigError, match="the teacher gives no embeddings"):
        cache_case.open(needs=frozenset({"embeddings"}))


def test_the_order_of_the_data_set_does_not_matter(cache_case):
    cache_case.open()
    order = np.random.default_rng(2).permutation(COUNT)
    cached = cache_case.open(dataset=cache_case.dataset.subset(order, name="other order"))
    assert cache_case.teacher.seen == 0
    cache_case.assert_right(cached)


def test_more_views_are_added_and_fewer_are_there(cache_case):
    cache_case.open()
    first = cache_case.bytes()
    cached = cache_case.open(count=4)
    assert cache_case.teacher.seen == 1 + 2 * COUNT  # one blank image tells the shapes
    assert "44 of 88 outputs" in cache_case.told
    cache_case.assert_right(cached)
    assert all(now.startswith(first[name]) for name, now in cache_case.bytes().items())
    cache_case.assert_right(cache_case.open(count=1))
    assert cache_case.open(count=3).layout.views == 3
    assert cache_case.teacher.seen == 0


def test_endless_views_are_stored_one_per_epoch(cache_case):
    assert cache_case.open(count=None, epochs=3).layout.views == 3
    cache_case.open(count=2)
    assert cache_case.teacher.seen == 0  # the first two are the same


def test_images_that_are_not_augmented_have_one_view(cache_case):
    assert cache_case.open(augment=()).layout.views == 1


@pytest.mark.parametrize(
    "change",
    [
        {"teacher": AllFields(seed=1)},
        {"seed": 2},
        {"augment": ("flip",)},
        {"dtype": torch.bfloat16},
        {"needs": frozenset()},
    ],
    ids=["weights", "view seed", "augmentation", "dtype", "fields"],
)
def test_what_decides_the_outputs_decides_the_folder(cache_case, change):
    cache_case.open()
    cache_case.open(**change)
    assert len(list(cache_case.root.iterdir())) == 2


@pytest.mark.parametrize("what", ["pooling", "normalisation", "labels", "file", "file of the same size and time"])
def test_so_does_what_no_checkpoint_and_no_id_says(cache_case, what, tmp_path):
    cache_case.dataset = image_files(cache_case.dataset, tmp_path / "images")
    cache_case.open()
    if what == "pooling":
        cache_case.teacher.pool = nn.AdaptiveMaxPool2d(2)
    elif what == "normalisation":
        cache_case.teacher.scale.mul_(2)
    elif what == "labels":
        cache_case.dataset.labels[7, 0] ^= 1
    elif what == "file":
        Image.new("RGB", (32, 32)).save(cache_case.dataset.images[7])
    else:
        path, before = cache_case.dataset.images[7], cache_case.dataset.images[7].stat()
        time.sleep(0.02)  # the system's clock of files ticks every few milliseconds
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    cache_case.open()
    assert len(list(cache_case.root.iterdir())) == 2


def test_what_a_file_holds_is_read_once_and_is_the_same_for_a_copy(cache_case, tmp_path, monkeypatch):
    cache_case.dataset = image_files(cache_case.dataset, tmp_path / "images")
    read, original = [], image_files_module._digest_of
    monkeypatch.setattr(image_files_module, "_digest_of", lambda path: read.append(path) or original(path))
    cache_case.open()
    assert len(read) == COUNT
    cache_case.open()
    os.utime(cache_case.dataset.images[3])  # touched, but the same
    cache_case.open()
    assert read[COUNT:] == [cache_case.dataset.images[3]]
    copy = shutil.copytree(tmp_path / "images", tmp_path / "copy", copy_function=shutil.copyfile)
    cache_case.open(
        dataset=replace(cache_case.dataset, images=[copy / path.name for path in cache_case.dataset.images])
    )
    assert cache_case.teacher.seen == 0
    assert len(list(cache_case.root.iterdir())) == 1


def test_a_log_without_a_terminal_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.0)
    told = io.StringIO()
    with progress.image_progress("teacher cache", 3000, Console(file=told, width=200)) as tell:
        tell(1500)
    assert re.fullmatch(r"teacher cache: 1,500 of 3,000 images, [\d,]+ images/s, \d+:\d\d:\d\d left\n", told.getvalue())


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_chunks_tile_the_files_and_rows_are_those_of_the_labels(count, classes, views, chunk, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 2, (count, classes)).astype(np.int8)
    ids = tuple(f"{number:03d}" for number in rng.permutation(count))
    dataset = Dataset("any", tuple(map(str, range(classes))), ids, np.zeros((count, 1, 1, 3), np.uint8), labels)
    layout = Layout(StorageOrder.of(dataset), views, {"logits": (classes,), "embeddings": (2,)}, chunk)
    stored: dict[str, list] = {"logits": [], "embeddings": []}
    for part in layout.chunks:
        for name, pile in stored.items():
            assert layout.rows(name, part).start == len(pile)
            for row in range(part.start, part.stop):
                index = int(layout.order.indices[row])
                of_image = [(part.view, index, c) for c in range(classes) if labels[index, c] == 1]
                pile.extend([(part.view, index)] if name == "logits" else of_image)
            assert layout.rows(name, part).stop == len(pile)
    assert layout.images == len(stored["logits"]) == count * views
    assert layout.bytes == 2 * (classes * len(stored["logits"]) + 2 * len(stored["embeddings"]))

    class InMemory(Store):
        def open(self, name):
            width = 1 if name == "logits" else 3
            values = [key if name == "embeddings" else key[1:] for key in stored[name]]
            rows = np.array(values, np.float16).reshape(-1, width)
            return rows.reshape(views, -1, width)

    cached = CachedTeacher(InMemory(Path(), layout), dataset, {}, torch.device("cpu"))
    view, batch = views - 1, rng.integers(0, count, 7)
    output = cached.read(torch.from_numpy(batch), view)
    assert output.logits[:, 0].tolist() == batch.tolist()
    for place, index in enumerate(batch):
        for c in range(classes):
            expected = [view, index, c] if labels[index, c] == 1 else [0, 0, 0]
            assert output.embeddings[place, c].tolist() == expected
