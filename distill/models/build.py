"""From a recipe's `model:` section to a Classifier."""

from collections.abc import Sequence
from typing import Any

from ...runtime.config import Config, decode
from ...runtime.errors import ConfigError
from ...runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD
from .backbone import BACKBONES, Stem, shrink_stem
from .classifier import BranchName, Classifier, HeadName
from .libraries import timm_backbone, torchvision_backbone


class ModelSpec(Config):
    """A model by name.

    Attributes:
        name: a registered backbone, `torchvision/<name>` or `timm/<name>`.
        width: channel multiplier, for families that have one.
        head: "linear" (average pooling), "linear_max" (max pooling, UD's code) or "ml_decoder" (L2D's head).
        branches: heads that are trained beside it and never exported; ["ml_decoder"] gives a teacher with a linear
            head the label-wise embeddings that `l2d` needs.
        stem: "small" removes the first stride, for inputs of about 32 to 128 px.
        pretrained: a local .safetensors or .pth path, "imagenet" (the library downloads it), or None.
    """

    name: str
    width: float = 1.0
    head: HeadName = "linear"
    branches: list[BranchName] = []
    stem: Stem = "standard"
    pretrained: str | None = None


def build_from_spec(
    spec: ModelSpec,
    num_classes: int,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Classifier:
    """Build a model; raises ConfigError for an unknown name or a width that the family does not have."""
    library, _, name = spec.name.partition("/")
    if library in ("timm", "torchvision") and name:
        if spec.width != 1.0:
            raise ConfigError(f"{spec.name}: `width` exists for {', '.join(_with_width())}, not for library models.")
        build = timm_backbone if library == "timm" else torchvision_backbone
        backbone = build(name, spec.pretrained)
    else:
        factory = BACKBONES.get(spec.name)()
        _check_width(spec, factory.widths)
        backbone = factory.build(width=spec.width, pretrained=spec.pretrained)
    if spec.stem == "small":
        shrink_stem(backbone)
    return Classifier(backbone, num_classes, head=spec.head, branches=spec.branches, mean=mean, std=std)


def build_model(name: str, num_classes: int, **options: Any) -> Classifier:
    """Build a model by name.

    Args:
        name: `mobilenetv2`, `shufflenetv2`, `repvgg_a0`, `torchvision/<name>` or `timm/<name>`.
        num_classes: C.
        options: the other fields of ModelSpec: width, head, branches, stem, pretrained.

    Raises:
        ConfigError: an unknown name, option or width.
    """
    return build_from_spec(decode({"name": name, **options}, ModelSpec, where="build_model"), num_classes)


def _with_width() -> list[str]:
    return [name for name in BACKBONES.names() if BACKBONES.get(name).widths != ()]


def _check_width(spec: ModelSpec, widths: tuple[float, ...] | None) -> None:
    allowed = (1.0,) if widths == () else widths
    if spec.width <= 0 or (allowed is not None and spec.width not in allowed):
        choices = "any positive number" if allowed is None else ", ".join(map(str, allowed))
        raise ConfigError(f"{spec.name}: width {spec.width} does not exist; it comes in {choices}.")
