"""Batches from pixels on the training's device are those of the loading processes; when that is chosen, and refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jobs import tint_teacher
from PIL import Image
from rich.console import Console

from edgedistill.distill.checkpoint import load_student
from edgedistill.distill.data import on_device
from edgedistill.distill.data.decoded import DecodedImages
from edgedistill.distill.data.loader import EpochSampler, training_loader
from edgedistill.distill.data.mixing import MixUp
from edgedistill.distill.data.on_device import DeviceLoader, device_images, fits_device, release_device_memory
from edgedistill.distill.data.views import Views
from edgedistill.distill.engine import fit
from edgedistill.distill.engine.averaging import SwaSettings
from edgedistill.distill.teacher_cache import CachedSource
from edgedistill.runtime.errors import ConfigError, EdgedistillError
from edgedistill.runtime.preprocess import Preprocessing

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
WIDE = Preprocessing(size=(14, 22))
ALL = ["flip", {"name": "shift", "fraction": 0.4}, "random_erasing", "cutout"]


@pytest.fixture(autouse=True)
def nothing_held():
    yield
    release_device_memory()


def views_of(data, steps, **options):
    return Views(data, DecodedImages(data, WIDE, cache="off"), steps, seed=3, **options)


@pytest.mark.parametrize("steps", [[], *[[step] for step in ALL], ALL, ALL[::-1], ["shift", "shift"]], ids=str)
def test_a_batch_is_the_views_of_its_images_pixel_for_pixel(tint_dataset, steps):
    data = tint_dataset(24)
    views = views_of(data, steps)
    decoded = torch.from_numpy(np.stack([views.decoded[index] for index in range(24)]))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    for view in range(3):
        draws = torch.tensor([views.draw(index, view) for index in range(24)], dtype=torch.int64)
        batch = views.batch(decoded, draws)
        assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
        for index in range(24):
            assert torch.equal(batch[index], views.image(index, view)), index


@pytest.fixture
def damaged(tint_dataset, tmp_path):
    """28 files, of which the first 18 and the 24th are no images."""
    data = tint_dataset(28)
    paths = [Path(tmp_path) / f"{name}.png" for name in data.ids]
    for number, (path, pixels) in enumerate(zip(paths, data.images, strict=True)):
        if number < 18 or number == 24:
            path.write_bytes(b"no image")
        else:
            Image.fromarray(pixels).save(path)
    return replace(data, images=paths)


@pytest.mark.parametrize(("workers", "views"), [(0, None), (1, 2)])
def test_its_loader_gives_the_batches_of_the_loading_processes(damaged, workers, views):
    """Stand-ins, blank images, labels, positions and a start in the middle of an epoch too."""
    shown = views_of(damaged, ALL, count=views)
    sampler = EpochSampler(shown, 7, seed=0)
    usual = training_loader(damaged, shown, sampler, workers=0, device=CPU)
    ours = DeviceLoader(damaged, device_images(shown.decoded, CPU, 0), shown, sampler, workers=workers)
    bad = set()
    for sampler.epoch, sampler.start in ((0, 0), (1, 2)):
        pairs = list(zip(usual, ours, strict=True))
        assert len(pairs) == 4 - sampler.start
        for expected, found in pairs:
            for name in ("images", "targets", "indices", "blank"):
                assert torch.equal(getattr(found, name), getattr(expected, name)), name
            assert (found.view, found.bad) == (expected.view, expected.bad)
            bad |= {*found.bad}
    assert bad == {*range(18), 24}


def test_the_next_training_on_the_same_images_finds_them_there(tint_dataset, monkeypatch):
    data = tint_dataset(4)
    first = device_images(views_of(data, []).decoded, CPU, 0)
    assert device_images(views_of(data, ["flip"]).decoded, CPU, 0) is first
    assert device_images(views_of(tint_dataset(5), []).decoded, CPU, 0) is not first


def test_auto_takes_a_gpu_that_has_room_and_steps_that_are_exact_there(tint_dataset, monkeypatch):
    data = tint_dataset(4)
    needed = 4 * 14 * 22 * 3

    def fits(steps, *, free, cache="auto", device=CUDA, mix=None):
        monkeypatch.setattr(on_device, "_free_memory", lambda _: free)
        return fits_device(cache, views_of(data, steps), device, mix, "student")

    assert fits(ALL, free=4 * needed)
    assert not fits(ALL, free=4 * needed - 1)
    assert fits(ALL, free=needed, cache="device")
    assert not fits(["flip", "rand_augment"], free=4 * needed)
    assert not fits(ALL, free=4 * needed, mix=MixUp())
    assert not fits(ALL, free=4 * needed, device=CPU)
    assert not fits(ALL, free=4 * needed, cache="memory")
    with pytest.raises(EdgedistillError, match=r"student: `decoded_cache: device` needs 3.7e-06 GB .* 1e-06 are free"):
        fits(ALL, free=1000, cache="device")
    told = r"student: `decoded_cache: device` makes .*; rand_augment, v2.ColorJitter is computed on the host alone\."
    with pytest.raises(ConfigError, match=told):
        fits(["rand_augment", "flip", "v2.ColorJitter"], free=4 * needed, cache="device")


def test_a_training_beside_a_stored_teacher_ends_with_the_same_bits_and_says_where_its_images_are(
    make_job, make_model, capsys, one_thread
):
    found = {}
    for cache in ("off", "device"):
        job = make_job(cache, method="mld", views=2, decoded_cache=cache, ema=None, swa=SwaSettings(start=0.5))
        path = fit(job, make_model(), CachedSource(tint_teacher()), Console(width=200))
        found[cache] = load_student(path).model.state_dict()
    for name, tensor in found["off"].items():
        assert torch.equal(found["device"][name], tensor), name
    assert "64 decoded images, 0.0002 GB, are kept in the memory of cpu" in capsys.readouterr().out
