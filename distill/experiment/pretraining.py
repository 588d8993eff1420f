"""`pretrained: digits`: what a network learns from one digit at a time, once and here, as others do from ImageNet."""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch
from filelock import FileLock
from rich.console import Console
from torch import Tensor

from ... import __version__
from ...runtime.preprocess import Preprocessing
from ..checkpoint import ModelCard, load_student
from ..data.digit_scenes import DigitScenes
from ..engine import Job, TrainSettings, current_world, fit
from ..methods import build_method
from ..models import ModelSpec, build_from_spec

EDITION = 1
"""Counts how often what is learned was changed; part of the identity of a training that starts from it."""

SETTINGS = TrainSettings(
    epochs=4,
    batch_size=64,
    lr=0.004,
    weight_decay=0.0,
    augment=["shift"],
    views=1,
    clip_grad_norm=1.0,
    evaluate_every=4,
    loggers=[],
)
_TRAIN, _VALIDATION = 3000, 400  # scenes
_SIDES = (32, 128)  # of a scene in pixels; larger inputs are filled by resizing
_SEED = 0


def digits_backbone(spec: ModelSpec, preprocessing: Preprocessing, caches: Path, console: Console) -> dict[str, Tensor]:
    """The weights of a backbone after single digits, trained where they are not there yet; the same for every seed.

    Every scene holds one digit, in the handwriting of the training split: nothing is learned of which digits meet, and
    no test image is seen. The state of torch's generator is as before.

    Args:
        spec: the network; head and branches do not count.
        preprocessing: of its images.
        caches: folder of what runs share.
        console: where progress is drawn.

    Raises:
        EdgedistillError: as `fit`.
    """
    network = msgspec.structs.replace(spec, pretrained=None, head="linear", branches=[], class_embeddings=None)
    decides = [EDITION, msgspec.to_builtins(network), msgspec.to_builtins(preprocessing), SETTINGS.deciding()]
    identity = hashlib.sha256(msgspec.json.encode(decides, order="sorted")).hexdigest()
    path = caches / "pretrained" / f"digits-{identity[:16]}.safetensors"
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        if not _is_there(path):
            with _alone(path):
                if not _is_there(path):
                    _train(_describe(path, network, preprocessing, identity), path, console)
        return load_student(path).model.backbone.state_dict()


def _is_there(path: Path) -> bool:
    """As the first process sees it."""
    return current_world().gather(path.is_file())[0]


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Others that want to make the file wait."""
    world = current_world()
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        world.together(lambda: held.enter_context(FileLock(path.with_suffix(".lock"))) if world.is_main else None)
        yield


def _describe(path: Path, network: ModelSpec, preprocessing: Preprocessing, identity: str) -> Job:
    """The training, in a folder beside the file that it is to make."""
    side = min(max(*preprocessing.size, _SIDES[0]), _SIDES[1])
    train, validation = (
        DigitScenes(split="train", images=images, size=side, seed=seed, labels="one").read(Path())
        for seed, images in ((_SEED, _TRAIN), (_SEED + 1, _VALIDATION))
    )
    card = ModelCard(
        edgedistill=__version__,
        name="single digits",
        model=network,
        classes=train.classes,
        preprocessing=preprocessing,
        thresholds=(0.5,) * len(train.classes),
    )
    return Job(
        title="pretraining on digits",
        folder=path.with_suffix(""),
        checkpoint=path.name,
        card=card,
        train=train,
        validation=validation,
        method=build_method("vanilla"),
        settings=SETTINGS,
        seed=_SEED,
        identity=identity,
    )


def _train(job: Job, path: Path, console: Console) -> None:
    """Write the file, whole or not at all; nothing else of the training is kept."""
    world, shown = current_world(), job.card.preprocessing
    torch.manual_seed(job.seed)
    model = build_from_spec(job.card.model, len(job.card.classes), mean=shown.mean, std=shown.std)
    trained = fit(job, model, None, console)
    world.together(lambda: trained.replace(path) if world.is_main else None)
    if world.is_main:
        shutil.rmtree(job.folder, ignore_errors=True)
