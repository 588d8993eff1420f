"""What a graph may give beside logits and probabilities: an embedding of the image, and where each class is seen."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..distill.models import Classifier
from ..distill.models.output import ModelOutput
from ..runtime.errors import ConfigError
from ..runtime.tensors import EMBEDDING, SALIENCY, TensorSpec
from .signature import BATCH

_FORWARD_BATCH = 16


def embedding(model: Classifier, output: ModelOutput) -> Tensor:
    """The last map averaged over its positions, float32 (N, F)."""
    if output.pooled is None:
        raise ConfigError("the network shows no feature maps, so that there is no embedding to export: leave it out.")
    return output.pooled


def saliency(model: Classifier, output: ModelOutput) -> Tensor:
    """The logits that the head gives to each position of the last map as if it saw nothing else, float32 (N, C, h, w).

    No gradients, one forward pass of the backbone. For a linear head that is its class activation map (Zhou et al.,
    CVPR 2016), whose mean is the logit where the head averages; for other heads the form of Recipro-CAM (Byun and Lee,
    2022) that shows the head one position at a time instead of a map with all others masked.
    """
    if output.features is None:
        raise ConfigError("the network shows no feature maps, so that there is no saliency to export: leave it out.")
    _, channels, height, width = output.features.shape
    positions = output.features.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
    logits = model.read_map(positions)
    return logits.unflatten(0, (-1, height, width)).permute(0, 3, 1, 2)


OPTIONAL_OUTPUTS: dict[str, Callable[[Classifier, ModelOutput], Tensor]] = {EMBEDDING: embedding, SALIENCY: saliency}


@torch.inference_mode()
def framework_outputs(model: Classifier, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """PyTorch's optional outputs float32 (N, ...) for uint8 (N, H, W, 3) RGB images, by name."""
    model.eval()
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for batch in torch.tensor(images).split(_FORWARD_BATCH) if names else ():
        output = model(model.normalize(batch))
        for name, parts in found.items():
            parts.append(OPTIONAL_OUTPUTS[name](model, output).float())
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


@torch.no_grad()
def optional_specs(model: Classifier, names: Sequence[str], size: tuple[int, int]) -> tuple[TensorSpec, ...]:
    """What these outputs will be for images of `size` (height, width).

    Raises:
        ConfigError: the network cannot give one of them.
    """
    if not names:
        return ()
    model.eval()
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    output = model(image)
    if SALIENCY in names and output.features is not None:
        _require_map_reader(model, output)
    shapes = {name: OPTIONAL_OUTPUTS[name](model, output).shape[1:] for name in names}
    return tuple(
        TensorSpec(name=name, dtype="float32", shape=(BATCH, *shape), kind=name) for name, shape in shapes.items()
    )


def _require_map_reader(model: Classifier, output: ModelOutput) -> None:
    """Some networks' own classifiers read a class token, or several maps: their map explains nothing."""
    try:
        logits = model.read_map(output.features)  # type: ignore[arg-type]  # the caller has looked
        same = logits.shape == output.logits.shape and torch.allclose(logits, output.logits, rtol=1e-3, atol=1e-3)
    except Exception:  # of somebody else's network
        same = False
    if not same:
        raise ConfigError(
            "the network's own classifier does not read its last feature map, so that there is no saliency to export: "
            "leave it out."
        )
