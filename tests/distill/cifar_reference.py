"""CRD's networks for 32 px images in eval mode (github.com/HobbitLong/RepDistiller, models/resnet.py, wrn.py, vgg.py).

Functions of images (B, 3, H, W) and of a state dict with the benchmark's names. Each returns the maps behind its
groups, shallow to deep, and the logits (B, C), and takes the tensors out of the dict: what is left had no part.
"""

import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def resnet(weights: Weights, depth: int, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Basic blocks, a ReLU behind every sum; a projected shortcut is normalised."""
    x = F.relu(_norm(weights, "bn1", _conv(weights, "conv1", images)))
    maps = []
    for layer, stride in (("layer1", 1), ("layer2", 2), ("layer3", 2)):
        for index in range((depth - 2) // 6):
            block, step = f"{layer}.{index}", stride if index == 0 else 1
            residual = x
            out = F.relu(_norm(weights, f"{block}.bn1", _conv(weights, f"{block}.conv1", x, step)))
            out = _norm(weights, f"{block}.bn2", _conv(weights, f"{block}.conv2", out))
            if step != 1 or residual.shape[1] != out.shape[1]:
                residual = _norm(weights, f"{block}.downsample.1", _conv(weights, f"{block}.downsample.0", x, step))
            x = F.relu(out + residual)
        maps.append(x)
    return maps, _linear(weights, "fc", x)


def wide_resnet(weights: Weights, depth: int, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Pre-activation blocks; where the channels change, the shortcut is a 1x1 convolution of the activation.

    The last map is the one that is averaged: behind the closing normalisation and ReLU.
    """
    x = _conv(weights, "conv1", images)
    maps = []
    for group, stride in (("block1", 1), ("block2", 2), ("block3", 2)):
        for index in range((depth - 4) // 6):
            block, step = f"{group}.layer.{index}", stride if index == 0 else 1
            active = F.relu(_norm(weights, f"{block}.bn1", x))
            out = _conv(weights, f"{block}.conv1", active, step)
            out = _conv(weights, f"{block}.conv2", F.relu(_norm(weights, f"{block}.bn2", out)))
            if x.shape[1] != out.shape[1]:
                x = _conv(weights, f"{block}.convShortcut", active, step)
            x = x + out
        maps.append(x)
    maps[-1] = F.relu(_norm(weights, "bn1", x))
    return maps, _linear(weights, "fc", maps[-1])


def vgg(weights: Weights, depth: int, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Five groups, each of convolutions with a normalisation; the last pooling is for images of 64 px alone."""
    x = images
    maps = []
    for group in range(5):
        if 1 <= group <= 3 or (group == 4 and images.shape[2] == 64):
            x = F.max_pool2d(x, kernel_size=2, stride=2)
        for index in range((depth - 3) // 5):  # a convolution, its normalisation, a ReLU
            x = _conv(weights, f"block{group}.{3 * index}", x)
            x = F.relu(_norm(weights, f"block{group}.{3 * index + 1}", x))
        maps.append(x)
    return maps, _linear(weights, "classifier", x)


def _conv(weights: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    kernel = weights.pop(f"{name}.weight")
    return F.conv2d(x, kernel, weights.pop(f"{name}.bias", None), stride, padding=kernel.shape[2] // 2)


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    mean, variance, scale, shift = (
        weights.pop(f"{name}.{key}")[:, None, None] for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3)) @ weights.pop(f"{name}.weight").T + weights.pop(f"{name}.bias")
