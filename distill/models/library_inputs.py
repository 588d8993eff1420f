"""The images that a timm/ or torchvision/ network was made for, as its library says."""

from collections.abc import Sequence
from typing import Literal

from ...runtime.preprocess import Preprocessing
from .libraries import require_network


def own_preprocessing(name: str) -> Preprocessing:
    """Size, filter and normalisation of the library's own weights for a network; of those it names first, if several.

    The resize mode is ours: the libraries cut a centre of images that are about an eighth larger, where a multi-label
    classifier would lose what stands at the edge.

    Args:
        name: `timm/<name>` or `torchvision/<name>`.

    Raises:
        ConfigError: there is no such network.
    """
    library, _, network = name.partition("/")
    require_network(library, network)
    return _timm(network) if library == "timm" else _torchvision(network)


def _timm(name: str) -> Preprocessing:
    import timm

    config = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    _, height, width = config.input_size
    return _preprocessing((height, width), config.interpolation, config.mean, config.std)


def _torchvision(name: str) -> Preprocessing:
    import torchvision

    transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    side = transforms.crop_size[0]
    return _preprocessing((side, side), transforms.interpolation.value, transforms.mean, transforms.std)


def _preprocessing(
    size: tuple[int, int], filter_name: str, mean: Sequence[float], std: Sequence[float]
) -> Preprocessing:
    interpolation: Literal["bilinear", "bicubic"] = "bilinear" if filter_name == "bilinear" else "bicubic"
    return Preprocessing(size=size, interpolation=interpolation, mean=_rgb(mean), std=_rgb(std))


def _rgb(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
