"""The teacher cache: what is read is what the teacher said, and nothing damaged or stale is ever read."""

import io
import os
import re
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from torch import nn

from edgedistill.distill.data.decoded import DecodedImages
from edgedistill.distill.data.views import Views
from edgedistill.distill.engine.world import World
from edgedistill.distill.models.output import ModelOutput
from edgedistill.distill.teacher_cache import CachedTeacher, open_or_build, opening, progress
from edgedistill.distill.teacher_cache.layout import Layout, StorageOrder
from edgedistill.distill.teacher_cache.store import Store
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import ConfigError, DataError, EdgedistillError, InterruptedRunError
from edgedistill.runtime.preprocess import Preprocessing

pytestmark = pytest.mark.usefixtures("one_thread")

ALL = frozenset({"pooled", "calibration_logits", "partition_logits", "embeddings"})
FIELDS = ("logits", "pooled", "calibration_logits", "partition_logits", "embeddings")
COUNT, VIEWS, CHUNK = 22, 2, 8  # three chunks a view, the last one short


class AllFields(nn.Module):
    """A teacher that gives everything, tells how many images it has seen, and can be made to fail."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.linear = nn.Linear(12, 3)
        self.embed = nn.Linear(12, 3 * 5)
        self.register_buffer("scale", torch.tensor(1 / 255), persistent=False)
        self.seen = 0
        self.spoil = lambda logits: logits

    def normalize(self, images):
        return images.permute(0, 3, 1, 2).float() * self.scale

    def forward(self, images):
        self.seen += len(images)
        pooled = self.pool(images).flatten(1)
        logits = self.spoil(self.linear(pooled))
        return ModelOutput(
            logits,
            pooled=pooled,
            calibration_logits=-logits,
            partition_logits=torch.stack([logits + 1, 2 * logits], dim=1),
            embeddings=self.embed(pooled).unflatten(1, (3, 5)),
        )


@dataclass
class Case:
    """Calls of open_or_build that differ in one thing, what they print, and what they compute."""

    root: Path
    dataset: Dataset
    teacher: AllFields = field(default_factory=AllFields)
    needs: frozenset[str] = ALL
    augment: tuple[str, ...] = ("flip", "shift", "cutout")
    seed: int = 1
    count: int | None = VIEWS
    epochs: int = 7
    dtype: torch.dtype | None = None
    workers: int = 0
    max_bad_share: float = 0.5
    told: str = ""

    @property
    def views(self) -> Views:
        decoded = DecodedImages(self.dataset, Preprocessing(size=(32, 32)), cache="off")
        return Views(self.dataset, decoded, self.augment, seed=self.seed, count=self.count)

    def open(self, **changes) -> CachedTeacher:
        for name, value in changes.items():
            setattr(self, name, value)
        self.teacher.seen, told = 0, io.StringIO()
        try:
            return open_or_build(
                self.root,
                self.teacher,
                self.dataset,
                self.views,
                self.needs,
                epochs=self.epochs,
                device=torch.device("cpu"),
                dtype=self.dtype,
                batch_size=5,
                workers=self.workers,
                console=Console(file=told),
                world=World(),
                max_bad_share=self.max_bad_share,
                chunk=CHUNK,
            )
        finally:
            self.told = told.getvalue()

    def live(self, indices, view) -> ModelOutput:
        images = torch.stack([self.views.image(int(index), view) for index in indices])
        with torch.no_grad():
            return self.teacher(self.teacher.normalize(images))

    @property
    def folder(self) -> Path:
        (folder,) = self.root.iterdir()
        return folder

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.glob("*.f16")}

    def assert_right(self, cached: CachedTeacher) -> None:
        """Every output of every sample and view, read in another order, is the live one rounded to fp16."""
        indices = torch.from_numpy(np.random.default_rng(5).permutation(len(self.dataset)))
        for view in range(cached.layout.views):
            read, live = cached.read(indices, view), self.live(indices, view)
            live.embeddings[torch.from_numpy(self.dataset.labels[indices.numpy()] != 1)] = 0
            for name in FIELDS:
                a, b = getattr(read, name), getattr(live, name)
                assert a.dtype == torch.float32
                torch.testing.assert_close(a, b, rtol=2**-11, atol=2e-6, msg=name)


@pytest.fixture
def case(tmp_path, tint_dataset):
    data = tint_dataset(COUNT)
    labels = data.labels.copy()
    labels[4] = 0  # an image without positives
    labels[5, 1] = -1
    return Case(tmp_path / "caches", replace(data, labels=labels))


def image_files(dataset: Dataset, folder: Path) -> Dataset:
    folder.mkdir()
    paths = [folder / f"{name}.png" for name in dataset.ids]
    for path, pixels in zip(paths, dataset.images, strict=True):
        Image.fromarray(pixels).save(path)
    return replace(dataset, images=paths)


def test_cached_outputs_are_the_live_ones_in_fp16(case):
    case.assert_right(case.open())
    assert case.told.count("\n") == 1
    assert "22 images x 2 views, logits (3) and pooled (12) and calibration logits (3)" in case.told
    assert "44 of 44 outputs are to be computed" in case.told
    size = 2 * VIEWS * (COUNT * (3 + 12 + 3 + 6) + 5 * int((case.dataset.labels == 1).sum()))
    assert sum(map(len, case.bytes().values())) == size


def test_loading_processes_change_nothing(case):
    case.open()
    alone = case.bytes()
    case.root = case.root.with_name("again")
    case.open(workers=2)
    assert case.bytes() == alone


def test_the_models_of_this_package_teach_from_a_cache(case, make_model):
    case.teacher = make_model(branches=["ml_decoder"])
    case.teacher.seen = 0
    cached = case.open(needs=frozenset({"embeddings", "pooled"}))
    indices = torch.tensor([3, 0, 21])
    read, live = cached.read(indices, 1), case.live(indices, 1)
    torch.testing.assert_close(read.logits, live.logits, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(read.pooled, live.pooled, rtol=1e-3, atol=1e-4)
    positive = torch.from_numpy(case.dataset.labels[indices.numpy()] == 1)
    torch.testing.assert_close(read.embeddings[positive], live.embeddings[positive], rtol=1e-3, atol=1e-3)
    assert read.features is None


def test_a_complete_cache_is_read_without_the_network_or_a_place_to_write(case, monkeypatch):
    case.open()
    files = {path: path.stat().st_mtime_ns for path in [case.folder, *case.folder.iterdir()]}
    monkeypatch.setattr(opening, "TeacherRows", None)
    monkeypatch.setattr(opening, "only_builder", None)
    case.assert_right(case.open())
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert case.told == f"teacher cache: {case.open().layout}, in {case.folder}\n"


def test_building_and_reading_draw_nothing_from_the_global_generators(case):
    torch.manual_seed(4)
    state = torch.get_rng_state()
    case.open().read(torch.tensor([1, 2]), 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_only_what_a_method_reads_is_stored(case):
    cached = case.open(needs=frozenset())
    read = cached(torch.tensor([1, 2]), 0, torch.zeros(2, 3))
    assert read.pooled is read.embeddings is read.partition_logits is None
    assert list(case.bytes()) == ["logits.f16"]


def test_feature_maps_are_refused_with_the_way_out(case):
    with pytest.raises(ConfigError, match=r"`stages`.*`teacher\.cache: false`"):
        case.open(needs=frozenset({"stages"}))


def test_a_teacher_that_lacks_a_field_is_refused(case, make_model):
    case.teacher = make_model()
    with pytest.raises(ConfigError, match="the teacher gives no embeddings"):
        case.open(needs=frozenset({"embeddings"}))


def test_the_order_of_the_data_set_does_not_matter(case):
    case.open()
    order = np.random.default_rng(2).permutation(COUNT)
    cached = case.open(dataset=case.dataset.subset(order, name="other order"))
    assert case.teacher.seen == 0
    case.assert_right(cached)


def test_more_views_are_added_and_fewer_are_there(case):
    case.open()
    first = case.bytes()
    cached = case.open(count=4)
    assert case.teacher.seen == 1 + 2 * COUNT  # one blank image tells the shapes
    assert "44 of 88 outputs" in case.told
    case.assert_right(cached)
    assert all(now.startswith(first[name]) for name, now in case.bytes().items())
    case.assert_right(case.open(count=1))
    assert case.open(count=3).layout.views == 3
    assert case.teacher.seen == 0


def test_endless_views_are_stored_one_per_epoch(case):
    assert case.open(count=None, epochs=3).layout.views == 3
    case.open(count=2)
    assert case.teacher.seen == 0  # the first two are the same


def test_images_that_are_not_augmented_have_one_view(case):
    assert case.open(augment=()).layout.views == 1


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
def test_what_decides_the_outputs_decides_the_folder(case, change):
    case.open()
    case.open(**change)
    assert len(list(case.root.iterdir())) == 2


@pytest.mark.parametrize("what", ["pooling", "normalisation", "labels", "file"])
def test_so_does_what_no_checkpoint_and_no_id_says(case, what, tmp_path):
    case.dataset = image_files(case.dataset, tmp_path / "images")
    case.open()
    if what == "pooling":
        case.teacher.pool = nn.AdaptiveMaxPool2d(2)
    elif what == "normalisation":
        case.teacher.scale.mul_(2)
    elif what == "labels":
        case.dataset.labels[7, 0] ^= 1
    else:
        Image.new("RGB", (32, 32)).save(case.dataset.images[7])
    case.open()
    assert len(list(case.root.iterdir())) == 2


@pytest.mark.parametrize("name", FIELDS)
def test_a_damaged_byte_costs_its_chunk_and_is_told(case, name):
    cached = case.open()
    whole, chunk = case.bytes(), cached.layout.chunks[4]  # the second one of view 1
    spoilt = bytearray(whole[f"{name}.f16"])
    spoilt[cached.layout.rows(name, chunk).stop * cached.layout.row_bytes(name) - 1] ^= 1
    (case.folder / f"{name}.f16").write_bytes(spoilt)
    assert case.bytes() != whole
    case.open()
    assert case.teacher.seen == 1 + len(chunk)
    assert case.told.count("\n") == 2
    assert f"1 of 6 parts are damaged and computed again (the first: {name} of view 1, rows 8 to 15)" in case.told
    assert case.bytes() == whole
    case.open()
    assert case.teacher.seen == 0


def test_a_truncated_file_costs_what_is_gone(case):
    cached = case.open()
    whole = case.bytes()
    kept = cached.layout.rows("logits", cached.layout.chunks[3]).stop * cached.layout.row_bytes("logits")
    os.truncate(case.folder / "logits.f16", kept)
    case.open()
    assert case.teacher.seen == 1 + len(cached.layout.chunks[4]) + len(cached.layout.chunks[5])
    assert "2 of 6 parts are damaged" in case.told
    assert case.bytes() == whole


@pytest.mark.parametrize(
    ("gone", "computed"),
    [("chunks-0.jsonl", COUNT * VIEWS), ("pooled.f16", COUNT * VIEWS), ("spec.json", 0), (".lock", 0)],
)
def test_a_file_that_is_gone_is_made_again(case, gone, computed):
    case.open()
    whole = case.bytes()
    (case.folder / gone).unlink(missing_ok=True)
    case.open()
    assert case.teacher.seen in {computed, 1 + computed}
    assert case.bytes() == whole
    case.open()
    assert case.teacher.seen == 0


def test_a_torn_journal_is_read_up_to_the_tear_and_continued_after_it(case):
    case.open()
    journal = case.folder / "chunks-0.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    for computed in (1 + COUNT % CHUNK, 0):
        case.open()
        assert case.teacher.seen == computed
    assert "damaged" not in case.told


@pytest.mark.parametrize("text", ["{", '{"spec": 1}', None])
def test_a_damaged_description_is_replaced_without_computing_anything(case, text):
    case.open()
    path = case.folder / "spec.json"
    good = path.read_text()
    path.write_text(good.replace('"logits": [\n      3', '"logits": [\n      8') if text is None else text)
    assert path.read_text() != good
    case.assert_right(case.open())
    assert case.teacher.seen == 1 + COUNT * VIEWS  # the second by assert_right
    assert path.read_text() == good


def test_ctrl_c_keeps_finished_chunks_and_the_same_command_continues(case):
    case.open()
    whole = case.bytes()
    case.root = case.root.with_name("interrupted")

    def stop(logits):
        if case.teacher.seen == 1 + CHUNK + 5:  # in the middle of the second chunk
            os.kill(os.getpid(), signal.SIGTERM)
        return logits

    case.teacher.spoil = stop
    with pytest.raises(InterruptedRunError, match="teacher cache: stopped; .* The same command continues"):
        case.open()
    case.teacher.spoil = lambda logits: logits
    case.open()
    assert case.teacher.seen == 1 + COUNT * VIEWS - CHUNK
    assert case.bytes() == whole


@pytest.mark.parametrize(("value", "message"), [(float("nan"), "are not finite"), (7e4, r"reach 7e\+04, .*65,504")])
def test_an_output_that_fp16_cannot_hold_names_the_image(case, value, message):
    order = StorageOrder.of(case.dataset)

    def spoil(logits):
        if case.teacher.seen == 1 + 5:
            logits[3, 1] = value
        return logits

    case.teacher.spoil = spoil
    with pytest.raises(
        EdgedistillError, match=f"the teacher's logits of {case.dataset.ids[order.indices[3]]} {message}"
    ):
        case.open()


def test_undecodable_images_are_blank_listed_and_tried_again(case, tmp_path):
    case.dataset = image_files(case.dataset, tmp_path / "images")
    good = case.dataset.images[9].read_bytes()
    case.dataset.images[9].write_bytes(bytes(len(good)))
    cached = case.open(max_bad_share=0.05)
    assert cached.undecodable == [9]
    assert all(not getattr(cached.read(torch.tensor([9]), 0), name).any() for name in FIELDS)
    pair, known = torch.tensor([9, 10]), torch.tensor([[0, -1, 1], [1, 0, 0]])
    blank = torch.tensor([[-1, -1, -1], [1, 0, 0]])  # the loader's blank image, of which nothing is known
    assert torch.equal(cached(pair, 0, blank).logits, cached.read(pair, 0).logits)
    with pytest.raises(DataError, match=r"tints-9: could not be decoded when the teacher cache was built"):
        cached(pair, 0, known)
    case.open()
    assert case.teacher.seen == 0
    case.dataset.images[9].write_bytes(good)
    cached = case.open()
    assert cached.undecodable == []
    assert case.teacher.seen == 1 + VIEWS * (COUNT % CHUNK)  # its name is the last of all
    case.assert_right(cached)


def test_too_many_undecodable_images_stop_the_build(case, tmp_path):
    case.dataset = image_files(case.dataset, tmp_path / "images")
    for index in (2, 9):
        case.dataset.images[index].write_bytes(b"broken")
    with pytest.raises(DataError, match=r"2 of 22 images cannot be decoded \(tints-2, tints-9, \.\.\.\), more than"):
        case.open(max_bad_share=0.05)


def test_too_little_space_is_told_before_anything_is_computed(case, monkeypatch):
    case.open()
    whole = case.bytes()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 500}))
    with pytest.raises(EdgedistillError, match=r"cannot be written \(needs 2\.\d kB more, 500 bytes are free\)"):
        case.open(count=4)
    assert case.teacher.seen == 1
    assert case.bytes() == whole


def test_an_error_of_one_process_is_everybodys():
    class OfTwo(World):
        def gather(self, value):
            return [value, EdgedistillError("the other's disk is full")]

    with pytest.raises(EdgedistillError, match="the other's disk is full"):
        OfTwo(0, 2).together(lambda: "done")


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
