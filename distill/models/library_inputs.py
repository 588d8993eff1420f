"""The images that a timm/ or torchvision/ network was made for, as its library says."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ...runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from .backbone import BACKBONES
from .libraries import require_network
from .spec import ModelSpec
from .weights import DIGITS

Rgb: TypeAlias = tuple[float, float, float]


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


def own_normalisation(spec: ModelSpec) -> tuple[Rgb, Rgb]:
    """Mean and standard deviation, per RGB channel in [0, 1] units, that a network's pretrained weights learned with.

    A file is taken to be the library's, or trained as those are. Fresh weights have none: ImageNet's then.
    """
    if spec.pretrained in (None, DIGITS):
        return IMAGENET_MEAN, IMAGENET_STD
    if "/" not in spec.name:
        factory = BACKBONES.get(spec.name)
        return factory.mean, factory.std
    own = own_preprocessing(spec.name)
    return own.mean, own.std


def other_inputs(spec: ModelSpec, shown: Preprocessing) -> str:
    """What is different about the images that a library's pretrained weights learned on, and those that are shown.

    Empty where nothing is, or nobody says.
    """
    if spec.pretrained in (None, DIGITS) or "/" not in spec.name:
        return ""
    own, kept = own_preprocessing(spec.name), _kept_share(spec.name)
    differing = []
    if own.size != shown.size:
        differing.append(f"{own.size[0]}x{own.size[1]} px")
    if own.interpolation != shown.interpolation:
        differing.append(f"{own.interpolation} resizing")
    if kept < 1:
        differing.append(f"the middle {100 * kept:.0f} % of a side")
    if (own.mean, own.std) != (shown.mean, shown.std):
        differing.append(f"mean {_text(own.mean)}, std {_text(own.std)}")
    return ", ".join(differing)


def _kept_share(name: str) -> float:
    library, _, network = name.partition("/")
    if library == "timm":
        import timm

        return float((timm.get_pretrained_cfg(network) or timm.models.PretrainedCfg()).crop_pct)
    import torchvision

    transforms = torchvision.models.get_model_weights(network).DEFAULT.transforms()
    return float(transforms.crop_size[0] / transforms.resize_size[0])


def _text(values: Rgb) -> str:
    one, *others = (f"{value:g}" for value in values)
    return one if {one} == set(others) else " ".join((one, *others))


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


def _rgb(values: Sequence[float]) -> Rgb:
    red, green, blue = map(float, values)
    return red, green, blue
