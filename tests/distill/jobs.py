"""A tiny data set, model and job, also for scripts that run in processes of their own."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from edgedistill.distill.checkpoint import ModelCard
from edgedistill.distill.engine import Job, TrainSettings
from edgedistill.distill.engine.parts import Parts, PartSettings
from edgedistill.distill.methods import build_method
from edgedistill.distill.models import Classifier, ModelSpec, build_from_spec
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.preprocess import Preprocessing

CLASSES = ("red", "green", "blue")
# Few operators and 0.1 M parameters: half of a short training is what it takes to begin and to save.
SMALL = ModelSpec(name="timm/test_efficientnet")
CPSD_CLASSES = ("ant", "bee", "cat", "dog", "elk", "fox")


def tint_dataset(count: int, seed: int = 0, name: str = "tints") -> Dataset:
    """N scenes of 32 px whose present classes brighten their own channel."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, 3)) < 0.5).astype(np.int8)
    noise = rng.integers(0, 90, (count, 32, 32, 3))
    images = (noise + 140 * labels[:, None, None, :].astype(int)).clip(0, 255).astype(np.uint8)
    return Dataset(name, CLASSES, tuple(f"{name}-{i}" for i in range(count)), images, labels)


def tint_model(branches: tuple[str, ...] = (), seed: int = 0, name: str = SMALL.name) -> Classifier:
    """A freshly initialised student, the same every time."""
    torch.manual_seed(seed)
    return build_from_spec(ModelSpec(name=name, branches=list(branches)), len(CLASSES))


def with_dropout(model: Classifier) -> Classifier:
    """In training its last map loses a tenth, which the generators' state decides."""
    model.backbone.register_forward_hook(drop)
    return model


def drop(backbone: nn.Module, arguments: tuple, maps: list[Tensor]) -> list[Tensor]:
    """A hook on a backbone: a tenth of its last map."""
    return [*maps[:-1], nn.functional.dropout(maps[-1], 0.1, backbone.training)]


def tint_teacher() -> Classifier:
    """Another one, frozen."""
    return tint_model(seed=1).eval().requires_grad_(False)


def tint_job(
    folder: Path, train: Dataset | None = None, *, method: str = "vanilla", model: str = SMALL.name, **settings: Any
) -> Job:
    """A training on tints; keyword arguments replace its settings."""
    defaults = {"epochs": 2, "batch_size": 16, "lr": 3e-3, "augment": ["shift", "cutout"], "ema": 0.9}
    return Job(
        title="student",
        folder=folder,
        checkpoint="student.safetensors",
        card=ModelCard(
            edgedistill="0",
            name="tints",
            model=ModelSpec(name=model),
            classes=CLASSES,
            preprocessing=Preprocessing(size=(32, 32)),
            thresholds=(0.5,) * 3,
        ),
        train=train or tint_dataset(64),
        validation=tint_dataset(32, seed=1, name="validation"),
        method=build_method(method),
        settings=TrainSettings(**{**defaults, **settings}),
        seed=3,
        identity="job",
        max_bad_share=0.01,
    )


def shared_job(folder: Path) -> Job:
    """A training whose steps several processes can share without any difference; its head learns from epoch 2 on."""
    parts = Parts(head=PartSettings(freeze_epochs=1))
    return tint_job(folder, method="mdkd", sync_batchnorm=True, ema=None, optimizer="sgd", lr=1e-4, parts=parts)


def write_recipe_on_photographs(folder: Path) -> Path:
    """A recipe on the photographs that `tinted_photographs` wrote into its folder; a teacher and a student, briefly."""
    network = {"name": "timm/test_efficientnet"}
    training = {"epochs": 1, "batch_size": 12, "workers": 0, "augment": ["flip"]}
    content = {
        "output": str(folder / "runs"),
        "data": {
            "train": {"format": "csv", "path": "train.csv"},
            "test": {"format": "csv", "path": "test.csv"},
            "validation": 0.25,
            "validation_seed": 5,
        },
        "input": {"size": 32},
        "teacher": {"model": network, "train": training, "accept": True},
        "student": {"model": network, "train": training},
        "method": "mld",
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
