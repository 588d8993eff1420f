"""A training's estimate: its arithmetic by hand, what it measures by a clock that the test turns."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import edgedistill.distill.plan.time as module
from edgedistill.distill.data.views import Views
from edgedistill.distill.engine.step import Step
from edgedistill.distill.engine.teachers import LiveSource, LiveTeacher
from edgedistill.distill.methods import build_method
from edgedistill.distill.plan.time import Estimate, estimate
from edgedistill.distill.teacher_cache import CachedSource
from edgedistill.runtime.errors import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("one_thread")

# 100 images in 5 steps of 20: an epoch computes for 10 s.
BASE = Estimate(
    images=100,
    epochs=4,
    steps=20,
    batch_size=20,
    step_seconds=2.0,
    load_seconds=0.05,
    reload_seconds=0.05,
    loading_processes=0,
)


@pytest.mark.parametrize(
    ("changes", "seconds", "bound"),
    [
        ({}, 4 * (10 + 5), "student"),
        ({"loading_processes": 1}, 4 * 10, "student"),
        ({"loading_processes": 2, "load_seconds": 0.6, "reload_seconds": 0.6}, 4 * 30, "data"),
        ({"load_seconds": 0.2, "reload_seconds": 0.2}, 4 * (10 + 20), "data"),
        # decoded once, then found: the first epoch waits for the decoding, the others compute
        ({"loading_processes": 1, "load_seconds": 0.3, "reload_seconds": 0.01}, 30 + 3 * 10, "student"),
        ({"load_seconds": 0.3, "reload_seconds": 0.01}, (10 + 30) + 3 * (10 + 1), "student"),
        # a live teacher is part of a step
        ({"teacher_seconds": 0.06, "loading_processes": 1}, 40, "teacher"),
        ({"teacher_seconds": 0.04, "loading_processes": 1}, 40, "student"),
        # 2 stored views: 2 passes of 100 images through the teacher come first, and decode
        ({"teacher_seconds": 0.07, "stored_views": 2, "loading_processes": 1}, 2 * 7 + 40, "student"),
        (
            {"teacher_seconds": 0.07, "stored_views": 2, "load_seconds": 0.3, "reload_seconds": 0.01},
            (7 + 30) + (7 + 1) + 4 * (10 + 1),
            "student",
        ),
    ],
)
def test_the_seconds_are_those_of_the_passes(changes, seconds, bound):
    found = replace(BASE, **changes)
    assert found.seconds() == pytest.approx(seconds)
    assert found.bound == bound


def test_what_is_left_costs_its_share():
    found = replace(BASE, load_seconds=0.3, reload_seconds=0.01, teacher_seconds=0.07, stored_views=2)
    assert found.seconds(epochs=0, stored_views=0) == 0
    assert found.seconds(epochs=1, stored_views=0) == pytest.approx(10 + 30)
    assert found.seconds(epochs=1.5, stored_views=0) == pytest.approx(10 + 30 + 0.5 * 11)
    assert found.seconds(epochs=0.5, stored_views=0) == pytest.approx(0.5 * 40)
    assert found.seconds(epochs=4, stored_views=0) == pytest.approx(40 + 3 * 11)
    assert found.seconds(epochs=4, stored_views=0.5) == pytest.approx(0.5 * 37 + 4 * 11)


@pytest.fixture
def clock(monkeypatch):
    """Time passes only where the test says: a step takes 3 s, a teacher's forward 2 s, an image 0.5 s."""
    found = SimpleNamespace(now=0.0, perf_counter=lambda: found.now, steps=[], teacher=0)
    monkeypatch.setattr(module, "time", found)
    step, live, image = Step.__call__, LiveTeacher.__call__, Views.image

    def timed_step(self, pieces, context):
        found.steps.append((pieces, context, self))
        taken = step(self, pieces, context)
        found.now += 3
        return taken

    def timed_teacher(self, *arguments):
        found.teacher += 1
        found.now += 2
        return live(self, *arguments)

    def timed_image(self, *arguments):
        found.now += 0.5
        return image(self, *arguments)

    monkeypatch.setattr(Step, "__call__", timed_step)
    monkeypatch.setattr(LiveTeacher, "__call__", timed_teacher)
    monkeypatch.setattr(Views, "image", timed_image)
    return found


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_a_job_shorter_than_the_measurement_is_measured(clock, make_job, make_model, tint_dataset, schedule):
    """One step in all, and the schedule refuses to go on past its end."""
    found = estimate(make_job(train=tint_dataset(20), epochs=1, schedule=schedule), make_model(), None)
    assert (found.images, found.epochs, found.steps, found.batch_size) == (20, 1, 1, 16)
    assert (found.step_seconds, found.load_seconds, found.reload_seconds) == (3.0, 0.5, 0.5)
    assert (found.teacher_seconds, found.stored_views, found.loading_processes) == (0.0, 0, 0)
    assert found.seconds() == 3 + 20 * 0.5


def test_a_step_is_the_jobs_own(clock, make_job, make_model, tint_dataset):
    """Its batch, its pieces, real labels: some terms compute more the more classes an image has."""
    train = tint_dataset(100)
    estimate(make_job(train=train, batch_size=32, accumulate=2), make_model(), None)
    pieces, _, step = clock.steps[0]
    assert [len(piece.images) for piece in pieces] == [16, 16]
    assert pieces[0].images.shape == (16, 32, 32, 3)
    places = pieces[0].indices.numpy()
    assert len(set(places.tolist())) == 16
    assert np.array_equal(pieces[0].targets.numpy(), train.labels[places])
    assert step.settings.accumulate == 2
    with pytest.raises(ConfigError, match="cannot be shared equally"):
        estimate(make_job(train=train, batch_size=31, accumulate=2), make_model(), None)


def test_a_live_teacher_is_part_of_the_step_and_measured_alone(clock, make_job, make_model):
    job = replace(make_job(), method=build_method("mld"))
    found = estimate(job, make_model(), LiveSource(make_model(seed=1)))
    assert found.step_seconds == 3.0 + 2.0
    assert found.teacher_seconds == 2.0 / 16
    assert found.stored_views == 0


@pytest.mark.parametrize(
    ("settings", "cache", "stored"),
    [({"views": 1}, None, 1), ({"augment": []}, None, 1), ({"views": 2}, None, 0), ({}, True, 2), ({}, False, 0)],
)
def test_a_stored_teacher_costs_its_passes_and_no_step(clock, make_job, make_model, settings, cache, stored):
    job = replace(make_job(**settings), method=build_method("mld"))
    found = estimate(job, make_model(), CachedSource(make_model(seed=1), cache))
    assert found.stored_views == stored
    assert found.step_seconds == (3.0 if stored else 5.0)
    assert found.teacher_seconds == 2.0 / 16


@pytest.fixture
def photographs(tint_dataset, tmp_path):
    """24 JPEGs, a quarter of which are damaged."""
    data = tint_dataset(24)
    paths = [tmp_path / "photographs" / f"{index}.jpg" for index in range(24)]
    paths[0].parent.mkdir()
    for index, (path, image) in enumerate(zip(paths, data.images, strict=True)):
        Image.fromarray(image).save(path)
        if index % 4 == 0:
            path.write_bytes(path.read_bytes()[:20])
    return replace(data, images=paths)


@pytest.mark.parametrize("cache", ["off", "memory", "disk"])
def test_kept_images_are_read_again_without_decoding_and_nothing_is_written(
    monkeypatch, clock, make_job, make_model, photographs, tmp_path, cache
):
    def decode(image, preprocessing):
        if not isinstance(image, np.ndarray):
            clock.now += 4
        return load_reduced(image, preprocessing)

    from edgedistill.distill.data import decoded

    load_reduced = decoded._DECODERS["reduced"]
    monkeypatch.setitem(decoded._DECODERS, "reduced", decode)
    before, held = sorted(tmp_path.rglob("*")), dict(decoded._held)
    found = estimate(make_job(train=photographs, decoded_cache=cache), make_model(), None)
    assert found.load_seconds == 4.5
    assert found.reload_seconds == (4.5 if cache == "off" else 0.5)
    assert sorted(tmp_path.rglob("*")) == before
    assert decoded._held == held


def test_no_image_that_can_be_decoded_is_an_error(make_job, make_model, photographs):
    broken = photographs.subset(range(0, 24, 4))
    with pytest.raises(DataError, match="none of 6 images that were tried can be decoded"):
        estimate(make_job(train=broken, batch_size=2), make_model(), None)
