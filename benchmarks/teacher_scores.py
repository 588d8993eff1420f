"""A trained teacher's logits as a file of scores, from which its students can be trained without it.

    python benchmarks/teacher_scores.py examples/coco18.yaml -o benchmarks/teachers/coco18_lite1.npz
    python benchmarks/teacher_scores.py examples/coco18.yaml -o larger.npz --size 160 --tta flip

For every image of the recipe's training and validation part it holds the logits of the image and of the mirrored one,
in float16. `--size` shows the teacher larger images than it learned from, `--tta flip` gives both the mean of the two.
The test split is not read. A recipe names the file as `teacher: {scores: FILE, scale: logits}`, see docs/teachers.md.
KEY=VALUE arguments change the recipe, as for `edgedistill train`.
"""

import argparse
import io
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
from rich.console import Console
from torch import Tensor, nn

from edgedistill.distill.engine import Outputs, predict_logits
from edgedistill.distill.engine.optimize import choose_device
from edgedistill.distill.engine.views_at_test import VIEWS, ViewAtTest
from edgedistill.distill.experiment import Experiment
from edgedistill.distill.experiment.evaluation import finished_checkpoint
from edgedistill.distill.experiment.experiment import Teacher
from edgedistill.distill.recipe.load import load_recipe
from edgedistill.runtime import metrics
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.errors import EdgedistillError
from edgedistill.runtime.files import write_atomic
from edgedistill.runtime.progress import counting

Pair: TypeAlias = tuple[Outputs, Outputs]
"""Of images, and of the same mirrored."""


class Mirroring(nn.Module):
    """A network that is shown every image mirrored."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def normalize(self, images: Tensor) -> Tensor:
        return self.network.normalize(images).flip(-1)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)


def read(teacher: Teacher, part: Dataset, tta: list[ViewAtTest], max_bad_share: float, console: Console) -> Pair:
    """Of the images and of the mirrored images, without those that cannot be decoded."""
    network = teacher.model.to(choose_device())
    shown = {part.name: network}
    if "flip" not in tta:
        shown[f"{part.name}, mirrored"] = Mirroring(network)
    found = []
    for title, model in shown.items():
        with counting(title, console) as progress:
            given = {"max_bad_share": max_bad_share, "progress": progress, "tta": tta}
            found.append(predict_logits(model, part, teacher.card.preprocessing, **given))
    return found[0], found[-1]


def write(path: Path, parts: list[Pair], classes: tuple[str, ...]) -> None:
    """The file, whole or not at all."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        ids=np.array([name for plain, _ in parts for name in plain.dataset.ids]),
        scores=np.concatenate([plain.logits for plain, _ in parts]).astype(np.float16),
        mirrored=np.concatenate([mirrored.logits for _, mirrored in parts]).astype(np.float16),
        classes=np.array(classes),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="whose teacher is trained")
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--size", type=int, help="pixels of a side that the teacher is shown; otherwise its own")
    parser.add_argument("--tta", action="append", choices=VIEWS, default=[], help="views whose mean is taken")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the .npz")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    try:
        experiment = Experiment(load_recipe(arguments.recipe, assignments=arguments.changes), console)
        teacher, share = finished_checkpoint(experiment, "teacher"), experiment.recipe.data.max_bad_share
        splits = experiment.splits
        if arguments.size:
            how = msgspec.structs.replace(teacher.card.preprocessing, size=(arguments.size, arguments.size))
            teacher = replace(teacher, card=msgspec.structs.replace(teacher.card, preprocessing=how))
        found = [read(teacher, part, arguments.tta, share, console) for part in (splits.train, splits.validation)]
    except EdgedistillError as error:
        raise SystemExit(f"error: {error}") from None
    write(arguments.out, found, teacher.card.classes)
    for title, outputs in zip(("", " of the mirrored images"), found[1], strict=True):
        reached = metrics.evaluate(outputs.scores, outputs.dataset.labels)["mAP"]
        print(f"validation mAP{title}: {reached:.2f}")
    images = sum(len(plain.dataset) for plain, _ in found)
    print(f"{arguments.out}: {images:,} images, {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
