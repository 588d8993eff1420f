"""Order and augmentation are functions of (seed, epoch, index); the validation part is held out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from edgedistill.distill.data import loader
from edgedistill.distill.data.augment import AUGMENTATIONS, Cutout, build_augmentations, read_augmentations
from edgedistill.distill.data.decoded import DecodedImages
from edgedistill.distill.data.loader import EpochSampler, Share, TrainingImages, training_loader
from edgedistill.distill.data.materialize import materialize
from edgedistill.distill.data.split import split_validation
from edgedistill.distill.data.views import Views
from edgedistill.runtime.datasets import open_dataset
from edgedistill.runtime.errors import ConfigError
from edgedistill.runtime.preprocess import Preprocessing, load

SQUARE = Preprocessing(size=(32, 32))


def views_of(data, steps=("shift",), seed=1, count=None):
    return Views(data, DecodedImages(data, SQUARE, cache="off"), list(steps), seed=seed, count=count)


def test_a_sample_can_be_replayed_whatever_came_before(tint_dataset):
    data = tint_dataset(6)
    images = TrainingImages(data, views_of(data, ["shift", "flip", "cutout"]))
    first = images[(4, 2)][0]
    images[(0, 0)]
    torch.rand(3)
    assert torch.equal(images[(4, 2)][0], first)
    assert not torch.equal(images[(5, 2)][0], first)


def test_augmenting_leaves_the_global_generator_and_the_data_alone(tint_dataset):
    data = tint_dataset(3)
    before = np.array(data.images)
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    TrainingImages(data, views_of(data, ["cutout"]))[(0, 1)]
    assert torch.equal(torch.rand(2), expected)
    assert np.array_equal(data.images, before)


def test_a_view_belongs_to_the_sample_not_to_its_place(tint_dataset):
    data = tint_dataset(6)
    order = [4, 0, 5, 1, 3, 2]
    before, after = views_of(data), views_of(data.subset(order))
    for place, index in enumerate(order):
        assert torch.equal(before.image(index, 3), after.image(place, 3))
    assert not torch.equal(before.image(0, 3), views_of(data, seed=2).image(0, 3))


def test_views_are_shown_in_turn_and_without_augmentation_there_is_one(tint_dataset):
    data = tint_dataset(3)
    assert [views_of(data, count=2).of_epoch(epoch) for epoch in range(4)] == [0, 1, 0, 1]
    assert [views_of(data).of_epoch(epoch) for epoch in range(3)] == [0, 1, 2]
    plain = views_of(data, [])
    assert plain.count == 1
    assert torch.equal(plain.image(1, 0), torch.from_numpy(data.images[1]))


def test_what_decides_a_view_is_told_apart(tint_dataset):
    data = tint_dataset(3)
    same, other = views_of(data, ["flip"]).transform, views_of(data, [{"name": "flip", "probability": 0.5}]).transform
    assert same == other
    assert views_of(data, [{"name": "flip", "probability": 0.4}]).transform != same
    assert views_of(data, ["flip"], seed=2).transform != same
    assert views_of(data, [], seed=2).transform == views_of(data, [], seed=1).transform


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_the_same_with_any_number_of_workers_and_can_start_in_the_middle(tint_dataset, workers):
    data = tint_dataset(20)
    views = views_of(data, seed=0)
    sampler = EpochSampler(views, 6, seed=0)
    batches_of = training_loader(data, views, sampler, workers=workers, device=torch.device("cpu"))
    sampler.epoch = 1
    batches = [batch.images.clone() for batch in batches_of]
    assert len(batches) == 3
    sampler.start = 2
    (last,) = [batch.images for batch in batches_of]
    assert torch.equal(last, batches[2])


def test_every_image_is_seen_once_per_epoch_in_another_order(tint_dataset):
    sampler = EpochSampler(views_of(tint_dataset(12)), 4, seed=0)
    first = [index for batch in sampler for _, index in batch]
    sampler.epoch = 1
    second = [index for batch in sampler for _, index in batch]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


@pytest.mark.parametrize(("processes", "pieces"), [(2, 1), (1, 3), (2, 2), (3, 2)])
def test_processes_and_pieces_share_the_very_steps_of_one(tint_dataset, processes, pieces):
    views = views_of(tint_dataset(50))
    whole = list(EpochSampler(views, 12, seed=5))
    shares = [list(EpochSampler(views, 12, seed=5, share=Share(rank, processes, pieces))) for rank in range(processes)]
    assert {len(share) for share in shares} == {len(whole) * pieces}
    for step, batch in enumerate(whole):
        joined = [key for piece in range(pieces) for share in shares for key in share[step * pieces + piece]]
        assert joined == batch


def test_a_batch_that_cannot_be_shared_equally_is_refused(tint_dataset):
    with pytest.raises(ConfigError, match=r"`batch_size` 10 .* 2 processes x `accumulate` 2: give a multiple of 4"):
        EpochSampler(views_of(tint_dataset(50)), 10, seed=0, share=Share(0, 2, 2))
    assert EpochSampler(views_of(tint_dataset(7)), 12, seed=0, share=Share(0, 3, 1)).batch_size == 6


@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
@pytest.mark.parametrize(
    ("step", "reference"),
    [
        ("flip", lambda size: v2.RandomHorizontalFlip(0.5)),
        ("shift", lambda size: v2.RandomCrop(size, [round(size[1] / 8), round(size[0] / 8)], padding_mode="reflect")),
        ("random_resized_crop", lambda size: v2.RandomResizedCrop(size, scale=(0.3, 1.0), antialias=True)),
        ("rand_augment", lambda size: v2.Compose([v2.ToPILImage(), v2.RandAugment(2, 9), v2.PILToTensor()])),
    ],
)
def test_what_is_faster_than_torchvision_draws_and_gives_the_same(step, reference, size):
    ours, theirs = build_augmentations(read_augmentations([step], where="t"), size), reference(size)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    for seed in range(25):
        found = []
        for augment, given in ((ours, image), (theirs, image.contiguous())):
            torch.manual_seed(seed)
            found.append((augment(given), torch.rand(())))
        assert torch.equal(found[0][0], found[1][0])
        assert found[0][1] == found[1][1]


@pytest.mark.parametrize(
    ("cores", "processes", "device", "workers"),
    [(8, 1, "cuda", 8), (8, 4, "cuda", 2), (2, 4, "cuda", 1), (200, 1, "cuda", 32), (8, 1, "cpu", 4), (2, 1, "cpu", 1)],
)
def test_loading_processes_share_the_cores(monkeypatch, tint_dataset, tmp_path, cores, processes, device, workers):
    monkeypatch.setattr(loader, "usable_cores", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    data = tint_dataset(2)
    files = replace(data, images=[tmp_path / name for name in data.ids])
    assert loader.choose_workers(files, None, torch.device(device)) == workers
    assert loader.choose_workers(data, None, torch.device(device)) == 0
    assert loader.choose_workers(files, 3, torch.device(device)) == 3


def test_cutout_paints_at_most_a_square_of_its_size():
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    torch.manual_seed(1)
    painted = [(Cutout(0.5)(image) != 0).any(0).sum().item() for _ in range(50)]
    assert max(painted) == 16 * 16
    assert min(painted) >= 0
    assert image.sum() == 0


def test_a_multi_scale_crop_is_one_of_the_sizes_at_one_of_the_places():
    """A crop of a ramp tells its corner and size; the reference is ML-GCN's own list of offsets."""
    ramp = torch.arange(64, dtype=torch.uint8)
    image = torch.stack([ramp[:, None].expand(64, 64), ramp[None].expand(64, 64), torch.zeros(64, 64)]).to(torch.uint8)
    (crop,) = build_augmentations(
        read_augmentations([{"name": "multi_scale_crop", "scales": [1.0, 0.5, 0.25], "max_distort": 1}], where="t"),
        (64, 64),
    )
    steps = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3)]
    sizes = [(64, 64), (64, 32), (32, 64), (32, 32), (32, 16), (16, 32), (16, 16)]
    allowed = {
        (row * ((64 - tall) // 4), column * ((64 - wide) // 4), tall, wide)
        for tall, wide in sizes
        for row, column in steps
    }
    torch.manual_seed(0)
    seen = set()
    for _ in range(1500):
        cropped = crop(image)
        assert cropped.shape == image.shape
        tall, wide = (int(cropped[channel].max()) - int(cropped[channel].min()) + 1 for channel in (0, 1))
        seen.add((int(cropped[0].min()), int(cropped[1].min()), tall, wide))
    assert seen == allowed


def test_random_erasing_paints_one_rectangle_in_the_mean_colour():
    (erase,) = build_augmentations(
        read_augmentations([{"name": "random_erasing", "probability": 1}], where="t"), (40, 40)
    )
    torch.manual_seed(0)
    for _ in range(30):
        changed = erase(torch.zeros(3, 40, 40, dtype=torch.uint8))
        rows, columns = changed.any(0).nonzero(as_tuple=True)
        window = changed[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert 0.01 * 1600 < window[0].numel() < 0.36 * 1600
        assert torch.equal(window, torch.tensor([124, 116, 104], dtype=torch.uint8)[:, None, None].expand_as(window))


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS.names()))
def test_every_augmentation_keeps_type_and_size(name):
    image = torch.randint(0, 256, (3, 40, 24), dtype=torch.uint8)
    out = build_augmentations(read_augmentations([name], where="t"), (40, 24))(image)
    assert out.dtype == torch.uint8
    assert out.shape == image.shape


@pytest.mark.parametrize(
    "step",
    [
        {"name": "v2.ColorJitter", "brightness": 0.4, "hue": 0.1},
        {"name": "v2.RandomPerspective", "p": 1.0, "interpolation": "bilinear"},
        {"name": "v2.GaussianBlur", "kernel_size": 5},
        {"name": "v2.JPEG", "quality": [20, 60]},
        {"name": "v2.AutoAugment", "policy": "cifar10"},
        {"name": "v2.RandomApply", "p": 0.9, "transforms": ["v2.RandomVerticalFlip", "cutout"]},
    ],
    ids=lambda step: step["name"],
)
def test_any_transform_of_torchvision_is_a_replayable_step(tint_dataset, step):
    data = tint_dataset(3)
    views = views_of(data, [step, "flip"])
    shown = [views.image(1, view) for view in range(6)]
    assert all(image.dtype == torch.uint8 and image.shape == (32, 32, 3) for image in shown)
    assert len({tuple(image.flatten().tolist()) for image in shown}) > 1
    torch.rand(5)
    assert torch.equal(views.image(1, 4), shown[4])
    assert views.transform != views_of(data, ["flip"]).transform


def test_steps_within_a_step_are_told_apart(tint_dataset):
    data = tint_dataset(2)
    apply = [{"name": "v2.RandomApply", "transforms": [inner]} for inner in ("flip", "random_erasing")]
    first, second = (views_of(data, [step]).transform for step in apply)
    assert first != second


def test_steps_through_floats_end_in_levels_again(tint_dataset):
    noise = {"name": "v2.GaussianNoise", "sigma": 0.2}
    there, back = ({"name": "v2.ToDtype", "dtype": dtype, "scale": True} for dtype in ("float32", "uint8"))
    data = tint_dataset(2)
    noisy = views_of(data, [there, noise, back]).image(0, 0)
    assert noisy.dtype == torch.uint8
    assert 5 < (noisy.float() - torch.from_numpy(data.images[0])).abs().mean() < 60


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("v2.ColorJiter", r"r: `train\.augment`: .* no transform 'ColorJiter'\. Did you mean v2\.ColorJitter\?"),
        ("v2.functional", "no transform 'functional'"),
        ({"name": "v2.ColorJitter", "bright": 1}, r"v2\.ColorJitter has no parameter 'bright'\. Its .*: brightness, "),
        ("v2.GaussianBlur", r"v2\.GaussianBlur needs 'kernel_size'"),
        ({"name": "v2.ColorJitter", "hue": 3}, r"v2\.ColorJitter: .*hue"),
        ({"name": "v2.AutoAugment", "policy": "mine"}, r"'mine' is .*; policy is one of imagenet, cifar10, svhn\.$"),
        ({"name": "v2.RandomCrop", "size": 16}, r"makes torch\.uint8 \(3, 16, 16\) of an image"),
        ({"name": "v2.MixUp", "num_classes": 3}, "mixes a batch, labels too: write `mix: {name: mixup}`"),
        ("v2.SanitizeBoundingBoxes", r"cannot be applied to an image: [^.]*\.$"),
        ({"name": "v2.RandomApply", "transforms": ["v2.Nothing"]}, r"`train\.augment\.transforms`: .*'Nothing'"),
    ],
)
def test_what_torchvision_lacks_or_refuses_is_one_line(step, message):
    with pytest.raises(ConfigError, match=message) as told:
        build_augmentations(read_augmentations([step], where="r"), (32, 32))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "cutout", "factor": -1}, r"`train\.augment\.factor`: "),
        ({"name": "cutout", "factor": float("nan")}, r"`train\.augment\.factor`: "),
        ({"name": "random_resized_crop", "min_scale": 5}, r"`train\.augment\.min_scale`: "),
        ({"name": "rand_augment", "magnitude": 99}, r"`train\.augment\.magnitude`: "),
        ({"name": "multi_scale_crop", "scales": [1, 0.001]}, "scale 0.001 leaves no pixel of 32 x 32"),
    ],
)
def test_an_impossible_option_is_one_line_before_the_training(step, message):
    with pytest.raises(ConfigError, match=message) as told:
        build_augmentations(read_augmentations([step], where="r"), (32, 32))
    assert "\n" not in str(told.value)


def test_an_unknown_augmentation_is_named():
    with pytest.raises(ConfigError, match=r"recipe\.yaml: `train.augment.name`: unknown augmentation 'flop'.*'flip'"):
        read_augmentations(["flop"], where="recipe.yaml")


def test_the_validation_part_is_held_out(tint_dataset):
    data = tint_dataset(50)
    train, validation = split_validation(data, 0.2, seed=0)
    assert len(validation) == 10
    assert set(train.ids) | set(validation.ids) == set(data.ids)
    assert not set(train.ids) & set(validation.ids)
    assert split_validation(data, 0.2, seed=0)[1].ids == validation.ids
    with pytest.raises(ConfigError, match="leaves 0 for validation"):
        split_validation(data, 0.001, seed=0)


def test_materialized_scenes_read_back_the_same(tint_dataset, tmp_path):
    data = tint_dataset(5)
    written = materialize(data, tmp_path / "test")
    assert written.classes == data.classes
    assert np.array_equal(written.labels, data.labels)
    difference = np.abs(load(written.images[0], SQUARE).astype(int) - data.images[0])
    assert difference.mean() < 12  # JPEG of noise at quality 95
    stamp = written.images[0].stat().st_mtime_ns
    again = materialize(data, tmp_path / "test")
    assert again.images[0].stat().st_mtime_ns == stamp
    assert again.fingerprint() == written.fingerprint()
    assert open_dataset(tmp_path / "test" / "labels.csv").fingerprint() == written.fingerprint()
