"""A model's logits on a dataset, through the same decoding and resizing as the device."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch

from ...runtime.batches import DecodedBatches, decode_batches, tolerated
from ...runtime.datasets import Dataset
from ...runtime.device import usable_cores
from ...runtime.errors import DataError, EdgedistillError
from ...runtime.preprocess import Preprocessing
from ..cores import on_its_core
from ..data.decoded import DecodedImages
from ..data.free_memory import processes_here
from ..models import ModelOutput, TeacherModel
from .views_at_test import ViewAtTest, views_at_test
from .world import ALONE, World


class NotFiniteError(EdgedistillError):
    """A network says NaN or infinity about images: nothing can be ranked by that."""


@dataclass(frozen=True)
class Outputs:
    """What a model says about a dataset.

    Attributes:
        logits: float32 (N, C).
        dataset: the N images that could be decoded, in order.
        skipped: one line for each image that could not.
        listed: all images, as the split lists them.
        rows: int64 (N,), the places of `dataset`'s images in `listed`.
    """

    logits: np.ndarray
    dataset: Dataset
    skipped: list[str]
    listed: Dataset
    rows: np.ndarray

    @property
    def reference(self) -> tuple[Dataset, np.ndarray]:
        """The split as it is listed with its logits; NaN for an image that could not be decoded."""
        logits = np.full((len(self.listed), self.logits.shape[1]), np.nan, np.float32)
        logits[self.rows] = self.logits
        return self.listed, logits

    @property
    def scores(self) -> np.ndarray:
        """Probabilities, float32 (N, C)."""
        return torch.from_numpy(self.logits).sigmoid().numpy()


@contextlib.contextmanager
def real_float32(device: torch.device) -> Iterator[None]:
    """Products and convolutions of float32 in float32, not in TF32's 10 bits, as exported graphs compute on a GPU."""
    backends: Any = torch.backends
    kinds = (backends.cuda.matmul, backends.cudnn.conv) if device.type == "cuda" else ()
    before = [kind.fp32_precision for kind in kinds]
    for kind in kinds:
        kind.fp32_precision = "ieee"
    try:
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


@torch.inference_mode()
def run_batches(
    model: TeacherModel, batches: DecodedBatches, tta: Sequence[ViewAtTest] = ()
) -> Iterator[tuple[np.ndarray, ModelOutput]]:
    """The images' positions and the outputs of each batch, in eval mode and float32; each module's mode is kept.

    With `tta` the logits are the mean over the views of each image, and all else is that of the image as it is.
    """
    device = next(chain(model.parameters(), model.buffers())).device
    modes = {module: module.training for module in model.modules()}  # of one whose parts may be frozen
    model.eval()
    for batch in batches:
        with real_float32(device), on_its_core():
            images = torch.from_numpy(batch.images).to(device)
            outputs = [model(model.normalize(view)) for view in views_at_test(images, tta)]
        output = outputs[0]
        if tta:
            output = replace(output, logits=torch.stack([one.logits.float() for one in outputs]).mean(dim=0))
        yield batch.indices, output
    for module, training in modes.items():
        module.training = training


def predict_logits(
    model: TeacherModel,
    dataset: Dataset,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 64,
    max_bad_share: float = 0.01,
    progress: Callable[[int, int], None] | None = None,
    world: World = ALONE,
    decoded: DecodedImages | None = None,
    tta: Sequence[ViewAtTest] = (),
) -> Outputs:
    """Run `model` in eval mode and float32 over every decodable image of `dataset`.

    Several processes share the images, none twice, and all get all outputs.

    Raises:
        DataError: more images than `max_bad_share` allows cannot be decoded.
        NotFiniteError: logits are NaN or infinite.

    Args:
        model: left in the mode it was in.
        dataset: images and labels.
        preprocessing: the model's own.
        batch_size: images per forward pass.
        max_bad_share: share of images that may fail to decode before DataError is raised.
        progress: called with (images done, images in all).
        world: the processes that share the work.
        decoded: this process's images (`share_of`), which may be kept from an earlier call; None: they are decoded.
        tta: views of each image over which its logits are averaged, see `views_at_test`.
    """
    mine, share = np.arange(world.rank, len(dataset), world.size), share_of(dataset, world)
    tolerance = max_bad_share if world.size == 1 else 1.0  # of several processes the sum is judged
    batches = decode_batches(
        share.images,
        preprocessing,
        batch_size,
        ids=share.ids,
        threads=decoding_threads(),
        max_bad_share=tolerance,
        read=None if decoded is None else decoded.__getitem__,
    )
    logits, indices, done = [], [], 0
    for rows, output in run_batches(model, batches, tta):
        logits.append(output.logits.float().cpu().numpy())
        indices.append(mine[rows])
        done += len(rows)
        if progress:
            progress(done * world.size, len(dataset))
    skipped = [f"{image.id}: {image.reason}" for image in batches.skipped]
    parts = world.gather((indices, logits, skipped))
    skipped = [line for _, _, lines in parts for line in lines]
    if len(skipped) > tolerated(len(dataset), max_bad_share):
        raise DataError(
            f"{dataset.name}: {len(skipped)} of {len(dataset)} images cannot be decoded ({skipped[0]}, ...), more than "
            f"the tolerated share of {max_bad_share:.2%}. Mend or remove them, or raise `data.max_bad_share`."
        )
    kept = np.concatenate([rows for found, _, _ in parts for rows in found])
    order = np.argsort(kept, kind="stable")
    outputs = Outputs(
        np.concatenate([values for _, found, _ in parts for values in found])[order],
        dataset if len(kept) == len(dataset) else dataset.subset(kept[order]),
        skipped,
        dataset,
        kept[order],
    )
    require_finite(outputs.logits, outputs.dataset)
    return outputs


def share_of(dataset: Dataset, world: World) -> Dataset:
    """The images that this process of `world` evaluates."""
    return dataset if world.size == 1 else dataset.subset(np.arange(world.rank, len(dataset), world.size))


def decoding_threads() -> int:
    """All cores, shared by the processes of this machine."""
    return max(1, usable_cores() // processes_here())


def require_finite(logits: np.ndarray, dataset: Dataset) -> None:
    """Raise NotFiniteError, naming an image, where logits (N, C) of the dataset's images are NaN or infinite."""
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if broken.size:
        raise NotFiniteError(
            f"{dataset.name}: the network's logits of {broken.size} of {len(logits)} images ({dataset.ids[broken[0]]}, "
            "...) are not finite: its weights are damaged or its training diverged."
        )
