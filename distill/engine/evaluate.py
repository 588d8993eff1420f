"""A model's logits on a dataset, through the same decoding and resizing as the device."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ...runtime.batches import decode_batches
from ...runtime.datasets import Dataset
from ...runtime.preprocess import Preprocessing
from ..models import Classifier


@dataclass(frozen=True)
class Outputs:
    """What a model says about a dataset.

    Attributes:
        logits: float32 (N, C).
        dataset: the N images that could be decoded, in order.
        skipped: one line for each image that could not.
    """

    logits: np.ndarray
    dataset: Dataset
    skipped: list[str]

    @property
    def scores(self) -> np.ndarray:
        """Probabilities, float32 (N, C)."""
        return torch.from_numpy(self.logits).sigmoid().numpy()


@torch.inference_mode()
def predict_logits(
    model: Classifier,
    dataset: Dataset,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 64,
    max_bad_share: float = 0.01,
    progress: Callable[[int, int], None] | None = None,
) -> Outputs:
    """Run `model` in eval mode and float32 over every decodable image of `dataset`.

    Args:
        model: left in the mode it was in.
        dataset: images and labels.
        preprocessing: the model's own.
        batch_size: images per forward pass.
        max_bad_share: share of images that may fail to decode before DataError is raised.
        progress: called with (images done, images in all).
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    batches = decode_batches(dataset.images, preprocessing, batch_size, ids=dataset.ids, max_bad_share=max_bad_share)
    logits, indices, done = [], [], 0
    for batch in batches:
        images = model.normalize(torch.from_numpy(batch.images).to(device))
        logits.append(model(images).logits.float().cpu().numpy())
        indices.append(batch.indices)
        done += len(batch.indices)
        if progress:
            progress(done, len(dataset))
    model.train(training)
    kept = dataset if done == len(dataset) else dataset.subset(np.concatenate(indices))
    return Outputs(np.concatenate(logits), kept, [f"{image.id}: {image.reason}" for image in batches.skipped])
