"""From a recipe's `model:` section to a Classifier."""

from collections.abc import Sequence
from typing import Any

from ...runtime.config import Config, decode
from ...runtime.errors import ConfigError
from ...runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD
from .backbone import BACKBONES, Stem, shrink_stem
from .branches import BranchName
from .classifier import Classifier, HeadName
from .libraries import timm_backbone, torchvision_backbone


class ModelSpec(Config):
    """A model by name.

    Attributes:
        name: a registered backbone, `torchvision/<name>` or `timm/<name>`.
        width: channel multiplier, for families that have one.
        head: "linear" (average pooling), "linear_max" (max pooling, UD's code) or "ml_decoder" (L2D's head).
        branches: networks that are trained beside it and never exported: "ml_decoder" gives a teacher with a linear
            head the label-wise embeddings that `l2d` needs, "calibration" the second logits that `ud` needs.
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
    check_spec(spec, where=spec.name)
    library, _, name = spec.name.partition("/")
    if name:
        build = timm_backbone if library == "timm" else torchvision_backbone
        backbone = build(name, spec.pretrained)
    else:
        backbone = BACKBONES.get(spec.name)().build(width=spec.width, pretrained=spec.pretrained)
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


def check_spec(spec: ModelSpec, *, where: str) -> None:
    """Raise ConfigError for a name or width that does not exist, without building anything."""
    library, _, name = spec.name.partition("/")
    if name:
        if library not in ("timm", "torchvision"):
            raise ConfigError(f"{where}: unknown model {spec.name!r}: the libraries are timm/ and torchvision/.")
        widths: tuple[float, ...] | None = (1.0,)
    else:
        try:
            widths = BACKBONES.get(spec.name).widths
        except ConfigError as error:
            raise ConfigError(f"{where}: {error} Or `timm/<name>`, `torchvision/<name>`.") from None
    if spec.width <= 0 or (widths is not None and spec.width not in (widths or (1.0,))):
        choices = "any positive number" if widths is None else ", ".join(map(str, widths or (1.0,)))
        raise ConfigError(f"{where}: {spec.name} has no width {spec.width}; it comes in {choices}.")
