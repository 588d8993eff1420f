"""Several classifiers, each of some of the classes, as one teacher of all of them."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ...runtime.errors import ConfigError
from .classifier import Classifier
from .output import ModelOutput

Part = tuple[np.ndarray, Classifier]


class MergedTeacher(nn.Module):
    """The label merging of CPSD (IJCAI 2022) Eq. 5: sub-task teachers side by side, their logits in class order.

    Args:
        partitions: P lists of (class indices, model), one per partition of the classes; logit j of a model is that of
            class `indices[j]`. A model that appears in several partitions runs once.
        num_classes: C.

    Raises:
        ConfigError: the parts of a partition do not cover every class exactly once, a model has another number of
            outputs than its part has classes, or the models do not share one normalisation.
    """

    def __init__(self, partitions: Sequence[Sequence[Part]], num_classes: int) -> None:
        super().__init__()
        models = list({id(model): model for parts in partitions for _, model in parts}.values())
        if not models:
            raise ConfigError("a merged teacher needs at least one partition with one model.")
        if any(not torch.equal(getattr(m, n), getattr(models[0], n)) for m in models for n in ("scale", "shift")):
            raise ConfigError("the sub-task teachers normalise images differently: train them with the same mean, std.")
        self.models: Sequence[Classifier] = nn.ModuleList(models)  # type: ignore[assignment]
        self.num_classes = num_classes
        ends = np.cumsum([model.num_classes for model in models])
        first = {id(model): int(end) - model.num_classes for model, end in zip(models, ends, strict=True)}
        columns = np.stack([_columns(parts, num_classes, first) for parts in partitions])
        self.columns: Tensor
        self.register_buffer("columns", torch.from_numpy(columns))

    def detach_branches(self, keep: Collection[str] = ()) -> None:
        """Remove the models' training-only branches, but for those that give a field of `keep`."""
        for model in self.models:
            model.detach_branches(keep)

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) RGB -> float32 (B, 3, H, W), the same for every model."""
        return self.models[0].normalize(images)

    def forward(self, images: Tensor) -> ModelOutput:
        """`partition_logits` (B, P, C) and their mean over the partitions as `logits`, for normalised images."""
        side_by_side = torch.cat([model(images).logits for model in self.models], dim=1)
        partition_logits = side_by_side[:, self.columns]
        return ModelOutput(logits=partition_logits.mean(1), partition_logits=partition_logits)


def _columns(parts: Sequence[Part], num_classes: int, first: dict[int, int]) -> np.ndarray:
    """Where each class's logit stands among the models' side by side, int64 (C,)."""
    held = np.concatenate([classes for classes, _ in parts]).tolist()
    for number in sorted({*held, *range(num_classes)}):
        if held.count(number) != 1 or not 0 <= number < num_classes:
            raise ConfigError(
                f"the parts of a partition must hold each of the {num_classes} classes once; class {number} is held "
                f"{held.count(number)} times."
            )
    columns = np.empty(num_classes, dtype=np.int64)
    for classes, model in parts:
        if len(classes) != model.num_classes:
            raise ConfigError(f"a part of {len(classes)} classes has a model with {model.num_classes} outputs.")
        columns[classes] = first[id(model)] + np.arange(len(classes))
    return columns
