"""Teachers and calls that the tests of the teacher cache share."""

import io
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from edgedistill.distill.data.decoded import DecodedImages
from edgedistill.distill.data.views import Views
from edgedistill.distill.engine.world import World
from edgedistill.distill.models.output import ModelOutput
from edgedistill.distill.teacher_cache import CachedTeacher, open_or_build
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.preprocess import Preprocessing

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


def image_files(dataset: Dataset, folder: Path) -> Dataset:
    folder.mkdir()
    paths = [folder / f"{name}.png" for name in dataset.ids]
    for path, pixels in zip(paths, dataset.images, strict=True):
        Image.fromarray(pixels).save(path)
    return replace(dataset, images=paths)
