"""`distil`: which images, labels and loaders are taken, and what is read of them."""

import pickle
import threading
import time

import numpy as np
import pytest
import torch
from jobs import CLASSES, tint_dataset
from PIL import Image
from plain_training import SMALL, Pairs, teach

from edgedistill.distill.api.datasets import as_dataset, to_pixels
from edgedistill.runtime.batches import decode_batches
from edgedistill.runtime.errors import ConfigError, DataError


@pytest.mark.parametrize(
    "form",
    [
        lambda pixels: pixels,
        Image.fromarray,
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1),
        lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1) / 255,
        lambda pixels: np.float32(pixels) / 255,
    ],
    ids=["array", "pillow", "tensor", "floats", "float array"],
)
def test_an_images_form_does_not_matter(form):
    dataset = as_dataset(Pairs(form=form), CLASSES, "train")
    assert all((one == other).all() for one, other in zip(dataset.images, tint_dataset(48).images, strict=True))
    assert (dataset.labels == tint_dataset(48).labels).all()


def test_a_subset_reads_nothing_and_keeps_its_images():
    reads = []
    data = Pairs(form=lambda pixels: reads.append(0) or pixels)
    dataset = as_dataset(data, CLASSES, "train")
    reads.clear()
    part = dataset.subset([5, 2]).subset([1])
    part.fingerprint()
    assert not reads
    assert (part.images[0] == tint_dataset(48).images[2]).all()
    assert part.ids == ("train-2",)


def test_labels_at_hand_spare_the_pass_and_a_changed_image_is_noticed():
    whole = Pairs()
    whole.labels = torch.from_numpy(whole.tints.labels)
    before = as_dataset(whole, CLASSES, "train").fingerprint()
    assert before == as_dataset(Pairs(), CLASSES, "train").fingerprint()
    changed = Pairs(form=lambda pixels: pixels ^ 1)
    assert before != as_dataset(changed, CLASSES, "train").fingerprint()


class Signed(Pairs):
    """Keeps its labels as 1 and -1, and gives them as 1 and 0."""

    def __init__(self, count=48):
        super().__init__(count)
        self.labels = 2 * self.tints.labels - 1


@pytest.mark.parametrize("most", [4096, 8])
def test_what_items_say_counts_more_than_a_matrix_beside_them(monkeypatch, most):
    monkeypatch.setattr("edgedistill.distill.api.datasets._ALL", most)
    monkeypatch.setattr("edgedistill.distill.api.datasets._SAMPLED", 4)
    signed = as_dataset(Signed(), CLASSES, "train")
    assert (signed.labels == tint_dataset(48).labels).all()
    assert signed.fingerprint() == as_dataset(Pairs(), CLASSES, "train").fingerprint()
    counted = Pairs()
    counted.labels = 3 * counted.tints.labels  # no labels at all
    assert (as_dataset(counted, CLASSES, "train").labels == counted.tints.labels).all()


def test_classes_in_another_order_are_brought_to_the_training_parts(tmp_path):
    """Validation labels would else be those of other classes, and select another epoch."""
    ordered, turned, others = Pairs(24, 1), Pairs(24, 1), Pairs(24, 1)
    turned.classes, others.classes = ("blue", "red", "green"), ("blue", "red", "grey")
    found = as_dataset(turned, CLASSES, "validation")
    assert found.classes == CLASSES
    assert (found.labels == as_dataset(ordered, CLASSES, "validation").labels[:, [1, 2, 0]]).all()
    named = Pairs()
    named.classes = CLASSES
    with pytest.raises(DataError, match=r"validation: its classes differ from the expected 3: missing 'green'; extra"):
        teach(tmp_path, data=named, validation=others)
    assert as_dataset(turned, ("0", "1", "2"), "validation").classes == ("0", "1", "2")


def test_what_is_learned_selects_no_epoch(tmp_path):
    """Two loaders around one data set, and splits of ours that share images, as in a recipe."""
    one, other = (torch.utils.data.DataLoader(Pairs(), batch_size=4, shuffle=shuffle) for shuffle in (True, False))
    with pytest.raises(ConfigError, match="`train` and `validation` are the same data"):
        teach(tmp_path, data=one, validation=other)
    tints = tint_dataset(48)
    with pytest.raises(DataError, match="validation: 8 of its images are in train too"):
        teach(tmp_path, data=tints, validation=tints.subset(range(8), "validation"))


def test_a_loader_gives_its_data_set(tmp_path):
    loader = torch.utils.data.DataLoader(Pairs(), batch_size=4, shuffle=True)
    assert teach(tmp_path, data=loader).card.classes == ("0", "1", "2")
    weighted = torch.utils.data.DataLoader(Pairs(), sampler=torch.utils.data.WeightedRandomSampler([1.0] * 48, 48))
    with pytest.raises(ConfigError, match="WeightedRandomSampler would not be used"):
        teach(tmp_path, data=weighted)
    collating = torch.utils.data.DataLoader(Pairs(), collate_fn=lambda items: items)
    with pytest.raises(ConfigError, match="train: the loader's `collate_fn` would not be used: give the data set"):
        teach(tmp_path, data=collating)
    dropping = torch.utils.data.DataLoader(Pairs(), batch_size=5, drop_last=True)
    with pytest.raises(ConfigError, match="validation: the loader's `drop_last` would not be used"):
        as_dataset(dropping, None, "validation")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (torch.randn(3, 8, 8), "normalised already"),
        (torch.full((3, 8, 8), 254.0), "divide by 255"),
        (np.zeros((8, 8), np.uint8), "shape"),
        (np.zeros((8, 8, 3), np.int64), "int64"),
    ],
)
def test_images_that_cannot_be_shown_are_named(image, said):
    with pytest.raises(DataError, match=f"item 7.*{said}"):
        to_pixels(image, "item 7")


def test_a_file_that_cannot_be_read_is_named_and_skipped(tmp_path):
    gone = []
    data = as_dataset(Pairs(form=lambda pixels: Image.open(gone[0]) if gone else pixels), CLASSES, "train")
    gone.append(tmp_path / "none.jpg")
    with pytest.raises(DataError, match=r"train: item 3 cannot be read \(FileNotFoundError: .*none\.jpg"):
        data.images[3]
    with pytest.raises(DataError, match="train: item 0 cannot be read"):
        as_dataset(Pairs(form=lambda pixels: Image.open(gone[0])), CLASSES, "train")
    batches = decode_batches(data.images[:2], SMALL, 8, ids=data.ids[:2], max_bad_share=1.0)
    assert list(batches) == []
    assert [image.id for image in batches.skipped] == ["train-0", "train-1"]
    assert "none.jpg" in batches.skipped[0].reason


def test_threads_that_decode_ask_for_one_item_at_a_time():
    """As of a data set that reads one open file."""
    inside = threading.Lock()

    def read(pixels):
        assert inside.acquire(blocking=False), "another thread reads"
        time.sleep(0.002)
        inside.release()
        return pixels

    data = as_dataset(Pairs(form=read), CLASSES, "train").subset(range(24))
    (batch,) = decode_batches(data.images, SMALL, 24, threads=4)
    assert (batch.images == tint_dataset(48).images[:24]).all()
    plain = as_dataset([(pixels, labels) for _, pixels, labels in tint_dataset(8)], CLASSES, "train")
    sent = pickle.loads(pickle.dumps(plain.subset([7]).images))  # to a loading process
    assert (sent[0] == plain.images[7]).all()


def test_labels_that_are_none_are_named():
    with pytest.raises(DataError, match="train: the labels of item 0 are"):
        as_dataset([(np.zeros((8, 8, 3), np.uint8), [0, 2])], None, "train")
