"""Any `torchvision/<name>` or `timm/<name>` as a backbone."""

import difflib

import timm
import torchvision
from torch import Tensor, nn

from ...runtime.errors import ConfigError
from .backbone import Backbone, group_by_resolution, probe_channels
from .resnet import resnet_stages
from .swin import swin_stages
from .weights import LibraryNetwork, with_pretrained


def torchvision_backbone(name: str, pretrained: str | None) -> Backbone:
    """A torchvision classification network without its classifier.

    Raises:
        ConfigError: no such network, or one whose feature maps torchvision does not expose as modules.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise _unknown("torchvision", name, known)
    model = with_pretrained(
        lambda weights: torchvision.models.get_model(name, weights="DEFAULT" if weights else None),
        pretrained,
        classifier=("fc.", "classifier.", "head.", "heads.", "AuxLogits."),
    )
    stages = _torchvision_stages(model, name)
    return Backbone(stages, probe_channels(stages), model)


def _torchvision_stages(model: LibraryNetwork, name: str) -> list[nn.Module]:
    if hasattr(model, "layer4"):  # ResNet, ResNeXt, Wide-ResNet
        return resnet_stages(model)
    if hasattr(model, "stage4") and hasattr(model, "conv5"):  # ShuffleNetV2
        return [
            model.conv1,
            nn.Sequential(model.maxpool, model.stage2),
            model.stage3,
            nn.Sequential(model.stage4, model.conv5),
        ]
    if hasattr(model, "features") and hasattr(model, "permute"):
        return swin_stages(model)
    if hasattr(model, "trunk_output"):  # RegNet
        return [model.stem, *model.trunk_output]
    if name.startswith("densenet"):  # its last activation is written in forward
        return group_by_resolution([*model.features, nn.ReLU()])
    if isinstance(getattr(model, "features", None), nn.Sequential):  # VGG, MobileNet, EfficientNet, DenseNet, ...
        return group_by_resolution(model.features)
    raise ConfigError(f"torchvision/{name} has no convolutional feature maps to pool: use timm/<name> instead.")


class TimmStages(nn.Module):
    """Adapts timm's `forward_intermediates` to a backbone's list of maps."""

    def __init__(self, model: LibraryNetwork) -> None:
        super().__init__()
        self.model = model
        self.channels: int = model.num_features
        self.pretrained_classifier = getattr(model, "pretrained_classifier", None)

    def forward(self, images: Tensor) -> list[Tensor]:
        model: LibraryNetwork = self.model
        final, maps = model.forward_intermediates(images, norm=True, output_fmt="NCHW")
        if final.ndim == 4:
            final = final.permute(0, 3, 1, 2) if getattr(self.model, "output_fmt", "NCHW") == "NHWC" else final
            return [*maps[:-1], final]
        return maps  # token sequences: the normalised last block, already reshaped to a map


def timm_backbone(name: str, pretrained: str | None) -> nn.Module:
    """A timm network without its classifier.

    Raises:
        ConfigError: no such network, or one without intermediate feature maps.
    """
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    classifier = tuple(f"{key}." for key in ("head", "fc", "classifier"))
    model = with_pretrained(lambda weights: timm.create_model(name, pretrained=bool(weights)), pretrained,
                            classifier=classifier)  # fmt: skip
    if not hasattr(model, "forward_intermediates"):
        raise ConfigError(f"timm/{name} does not expose its feature maps (no forward_intermediates in timm).")
    model.reset_classifier(0, "")
    return TimmStages(model)


def _unknown(library: str, name: str, known: list[str]) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=3)
    hint = f" Near: {', '.join(f'{library}/{n}' for n in near)}." if near else ""
    return ConfigError(f"unknown model {library}/{name}.{hint}")
