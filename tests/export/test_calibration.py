"""Which images calibrate, and which judge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.export import judged_apart
from edgedistill.export.judged_apart import apart_from, set_apart
from edgedistill.export.quantization.calibration import Calibration, balanced_sample, choose_calibration
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import ConfigError


def make_split(images: int, classes: int = 4, seed: int = 0, prefix: str = "") -> Dataset:
    rng = np.random.default_rng(seed)
    labels = (rng.random((images, classes)) < 0.2).astype(np.int8)
    pixels = rng.integers(0, 256, (images, 4, 4, 3), np.uint8)
    return Dataset("split", tuple("abcdefgh"[:classes]), tuple(f"{prefix}{i}" for i in range(images)), pixels, labels)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 5), st.integers(1, 70), st.integers(0, 9))
def test_a_sample_has_as_many_images_as_asked_for_and_none_twice(images, classes, count, seed):
    labels = np.random.default_rng(seed).integers(-1, 2, (images, classes)).astype(np.int8)
    chosen = balanced_sample(labels, count, np.random.default_rng(seed))
    assert len(set(chosen.tolist())) == len(chosen) == min(count, images)
    assert chosen.tolist() == sorted(chosen.tolist())


def test_a_rare_class_is_not_left_to_chance():
    labels = np.zeros((2000, 3), np.int8)
    labels[:1500, 0] = 1
    labels[1500:1960, 1] = 1
    labels[1990:, 2] = 1  # half a percent: a plain sample of 40 has none in 82 of 100 cases
    shown = labels[balanced_sample(labels, 40, np.random.default_rng(0))]
    assert shown.sum(axis=0).tolist() == [10, 10, 10]
    assert (shown.sum(axis=1) == 0).sum() == 10  # images without a label count as one class more


def test_without_labels_a_sample_is_a_plain_one():
    labels = np.full((500, 3), -1, np.int8)
    chosen = balanced_sample(labels, 100, np.random.default_rng(0))
    assert len(chosen) == 100
    assert 150 < chosen.mean() < 350


def test_what_measures_and_what_judges_share_no_image():
    split = make_split(300)
    chosen = choose_calibration(split, 100, judged=150)
    assert len(chosen.ranges) == 100
    assert len(chosen.held_out) == 150
    assert not set(chosen.ranges.ids) & set(chosen.held_out.ids)


def test_where_images_are_few_a_quarter_is_kept_to_judge():
    chosen = choose_calibration(make_split(40), 512)
    assert (len(chosen.ranges), len(chosen.held_out)) == (30, 10)


@pytest.mark.parametrize(
    ("images", "asked", "parts"), [(513, 512, (385, 128)), (700, 512, (512, 188)), (9, 512, (7, 2))]
)
def test_enough_are_left_to_judge_by(images, asked, parts):
    chosen = choose_calibration(make_split(images), asked)
    assert (len(chosen.ranges), len(chosen.held_out)) == parts


def id_of(image: np.ndarray) -> bytes:
    return image.tobytes()


def test_one_image_is_not_enough():
    with pytest.raises(ConfigError, match="one image is not enough to calibrate on"):
        choose_calibration(make_split(1))


def test_the_same_seed_chooses_the_same_images():
    first, second = (choose_calibration(make_split(300), 50, seed=3) for _ in range(2))
    assert first.ranges.ids == second.ranges.ids
    assert first.ranges.ids != choose_calibration(make_split(300), 50, seed=4).ranges.ids


def test_images_that_judge_the_bundle_calibrate_nothing(caplog):
    training, test = make_split(60, prefix="train-"), make_split(20, seed=1, prefix="test-")
    assert apart_from(training, test) is training
    with pytest.raises(ConfigError, match="60 of its images are also in split"):
        apart_from(training, training)
    many = make_split(200, seed=2)
    assert apart_from(many, many.subset([7, 9])).ids == tuple(name for name in many.ids if name not in ("7", "9"))
    assert "2 of its 200 images are also in split, on which the bundle is judged (7)" in caplog.text
    with pytest.raises(ConfigError, match="3 of its images are also in split"):
        apart_from(many, many.subset([7, 8, 9]))


def test_images_that_measured_ranges_estimate_no_thresholds(caplog):
    training, test = make_split(60), make_split(20, seed=1, prefix="test-")
    apart = set_apart(training, training, [test])
    calibration, validation = apart.calibration, apart.validation
    assert validation.ids == calibration.held_out.ids  # which may choose both
    assert "split: 45 of its 60 images measure int8's ranges" in caplog.text
    others = make_split(30, seed=2)  # of the same names
    assert set_apart(calibration, others, [test]).validation is others
    with pytest.raises(ConfigError, match="split: all of its images measure int8's ranges"):
        set_apart(Calibration(training, others), training.subset([3, 4]), [])


def test_what_was_set_apart_is_not_searched_again(monkeypatch):
    training, test = make_split(60), make_split(20, seed=1, prefix="test-")
    apart = set_apart(training, None, [test])
    monkeypatch.setattr(judged_apart, "shared_images", None)
    assert set_apart(apart, None, [test]) is apart
    with pytest.raises(ConfigError, match="`validation` is given twice"):
        set_apart(apart, training, [test])


def test_an_image_that_is_listed_twice_does_not_judge_what_it_measured():
    split = make_split(80)
    twice = split.subset([*range(80), *range(80)])
    chosen = choose_calibration(twice, 60)
    assert not set(map(id_of, chosen.ranges.images)) & set(map(id_of, chosen.held_out.images))


def test_nothing_to_judge_by_is_one_line():
    with pytest.raises(ConfigError, match="no image is held out to judge int8 by"):
        choose_calibration(make_split(20), 10, held_out=make_split(20).subset([]))
