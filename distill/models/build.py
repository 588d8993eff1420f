"""From a recipe's `model:` section to a Classifier."""

from collections.abc import Sequence
from typing import Any

import msgspec
from torch import Tensor, nn

from ...runtime.config import decode
from ...runtime.errors import ConfigError
from ...runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD
from .backbone import BACKBONES, adapt_stem
from .class_embeddings import read_class_embeddings
from .classifier import Classifier
from .heads import HEADS
from .libraries import timm_backbone, timm_network, torchvision_backbone, torchvision_network
from .qarepvgg import adapt_blocks
from .spec import ModelSpec
from .weights import DIGITS
from .whole import LibraryClassifier

_WIDEST = 16.0  # 256 times the multiply-accumulates: more is a mistake, and would take all memory


def build_from_spec(
    spec: ModelSpec,
    num_classes: int,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    class_embeddings: Tensor | None = None,
) -> Classifier:
    """Build a model.

    Args:
        spec: what to build.
        num_classes: C.
        mean: per RGB channel in [0, 1] units.
        std: per RGB channel in [0, 1] units.
        class_embeddings: word vectors (C, D') in place of the file that `spec` names.

    Raises:
        ConfigError: an unknown name, a width that the family does not have, a file that does not fit the classes, or
            weights that only a recipe makes.
    """
    check_spec(spec, where=spec.name)
    if spec.pretrained == DIGITS:
        raise ConfigError(
            f"{spec.name}: `pretrained: {DIGITS}` is trained where a recipe's networks are; here give a file, or none."
        )
    model = _build(spec, num_classes, class_embeddings, {"mean": mean, "std": std})
    model.spec = msgspec.structs.replace(spec, pretrained=None, class_embeddings=None)
    return model


def _build(
    spec: ModelSpec, num_classes: int, class_embeddings: Tensor | None, normalisation: dict[str, Any]
) -> Classifier:
    library, _, name = spec.name.partition("/")
    if spec.head == "library":
        build_whole = timm_network if library == "timm" else torchvision_network
        network = build_whole(name, spec.pretrained, num_classes)
        _adapt(network, spec)
        return LibraryClassifier(network, num_classes, branches=spec.branches, **normalisation)
    if name:
        build = timm_backbone if library == "timm" else torchvision_backbone
        backbone = build(name, spec.pretrained)
    else:
        backbone = BACKBONES.get(spec.name)().build(width=spec.width, pretrained=spec.pretrained)
    _adapt(backbone, spec)
    if class_embeddings is None and spec.class_embeddings is not None:
        class_embeddings = read_class_embeddings(spec.class_embeddings, num_classes)
    return Classifier(
        backbone,
        num_classes,
        head=spec.head,
        class_embeddings=class_embeddings,
        branches=spec.branches,
        **normalisation,
    )


def _adapt(network: nn.Module, spec: ModelSpec) -> None:
    adapt_stem(network, spec.stem)
    if spec.block == "qa":
        adapt_blocks(network)


def build_model(name: str, num_classes: int, **options: Any) -> Classifier:
    """Build a model by name.

    Args:
        name: a registered backbone (`edgedistill list models`), `torchvision/<name>` or `timm/<name>`.
        num_classes: C.
        options: the other fields of ModelSpec: width, head, class_embeddings, branches, stem, block,
            pretrained.

    Raises:
        ConfigError: an unknown name, option or width.
    """
    return build_from_spec(decode({"name": name, **options}, ModelSpec, where="build_model"), num_classes)


def check_spec(spec: ModelSpec, *, where: str) -> None:
    """Raise ConfigError for a name, width or option that does not exist, without building anything."""
    library, _, name = spec.name.partition("/")
    if name:
        if library not in ("timm", "torchvision"):
            raise ConfigError(f"{where}: unknown model {spec.name!r}: the libraries are timm/ and torchvision/.")
        widths: tuple[float, ...] | None = (1.0,)
    else:
        try:
            widths = BACKBONES.get(spec.name).widths
        except ConfigError as error:
            raise ConfigError(
                f"{where}: {error} Or `timm/<name>`, `torchvision/<name>`, or one of your own, whose module "
                "EDGEDISTILL_PLUGINS names."
            ) from None
    if not 0 < spec.width <= _WIDEST or (widths is not None and spec.width not in (widths or (1.0,))):
        choices = f"any width above 0, up to {_WIDEST:g}" if widths is None else ", ".join(map(str, widths or (1.0,)))
        raise ConfigError(f"{where}: {spec.name} has no width {spec.width}; it comes in {choices}.")
    if spec.head == "library" and not name:
        raise ConfigError(
            f"{where}: `head: library` is the own classifier of a timm/ or torchvision/ network, and {spec.name} is "
            "neither; its own is `head: linear`."
        )
    if spec.head == "library" and spec.pretrained == DIGITS:
        raise ConfigError(
            f"{where}: `pretrained: {DIGITS}` is for a backbone below a head of ours, not `head: library`."
        )
    if spec.block == "qa" and not name and spec.block not in BACKBONES.get(spec.name).blocks:
        takes = ", ".join(other for other in BACKBONES.names() if "qa" in BACKBONES.get(other).blocks)
        raise ConfigError(f"{where}: `block: qa` is for networks of RepVGG blocks ({takes}); {spec.name} has none.")
    if spec.block == "qa" and spec.pretrained is not None:
        raise ConfigError(
            f"{where}: `block: qa` begins with fresh weights: `pretrained` holds those of standard blocks, which are "
            "normalised elsewhere. Leave one of the two out."
        )
    if spec.class_embeddings is not None and not HEADS[spec.head].reads_class_embeddings:
        takes = ", ".join(name for name, head in HEADS.items() if head.reads_class_embeddings)
        raise ConfigError(f"{where}: `class_embeddings` is for `head: {takes}`; `head: {spec.head}` reads none.")
