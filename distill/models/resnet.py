"""ResNet (He et al., CVPR 2016), Wide-ResNet (Zagoruyko & Komodakis, BMVC 2016) and ResNeXt (Xie et al., CVPR 2017)."""

from typing import Any

import timm
import torchvision
from torch import nn

from .backbone import BACKBONES, Backbone, BackboneFactory
from .weights import LibraryNetwork, Pretrained, with_pretrained


def resnet_stages(model: LibraryNetwork) -> list[nn.Module]:
    """The stem and the four groups of residual blocks, strides 2, 4, 8, 16, 32; for torchvision's and timm's."""
    activation = model.relu if hasattr(model, "relu") else model.act1
    stem = nn.Sequential(model.conv1, model.bn1, activation)
    return [stem, nn.Sequential(model.maxpool, model.layer1), model.layer2, model.layer3, model.layer4]


class TorchvisionResNet(BackboneFactory):
    """torchvision's networks; "imagenet" is IMAGENET1K_V1, the weights that the papers started from."""

    variant: str

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        def create(weights: str | None) -> Any:
            return torchvision.models.get_model(self.variant, weights="IMAGENET1K_V1" if weights else None)

        model = with_pretrained(create, pretrained, classifier=("fc.",))
        return Backbone(resnet_stages(model), model.fc.in_features, model)


@BACKBONES.register("resnet18")
class ResNet18(TorchvisionResNet):
    """Two basic blocks a stage."""

    variant = "resnet18"
    description = "ResNet-18: 1814 MMAC at 224 px, 11.18 M parameters"


@BACKBONES.register("resnet34")
class ResNet34(TorchvisionResNet):
    """Basic blocks, 3-4-6-3."""

    variant = "resnet34"
    description = "ResNet-34: 3663 MMAC at 224 px, 21.28 M parameters"


@BACKBONES.register("resnet50")
class ResNet50(TorchvisionResNet):
    """Bottleneck blocks, 3-4-6-3."""

    variant = "resnet50"
    description = "ResNet-50: 4087 MMAC at 224 px, 23.51 M parameters"


@BACKBONES.register("resnet101")
class ResNet101(TorchvisionResNet):
    """Bottleneck blocks, 3-4-23-3."""

    variant = "resnet101"
    description = "ResNet-101: 7799 MMAC at 224 px, 42.50 M parameters"


@BACKBONES.register("wide_resnet50")
class WideResNet50(TorchvisionResNet):
    """ResNet-50 with twice the inner channels of every bottleneck."""

    variant = "wide_resnet50_2"
    description = "Wide-ResNet-50-2: 11396 MMAC at 224 px, 66.83 M parameters"


@BACKBONES.register("wide_resnet101")
class WideResNet101(TorchvisionResNet):
    """ResNet-101 with twice the inner channels of every bottleneck."""

    variant = "wide_resnet101_2"
    description = "Wide-ResNet-101-2: 22751 MMAC at 224 px, 124.84 M parameters"


@BACKBONES.register("resnext50")
class ResNeXt50(BackboneFactory):
    """ResNeXt-50 32x4d; "imagenet" is SWSL (Yalniz et al. 2019): a billion hashtagged images, then ImageNet-1k."""

    description = "ResNeXt-50 32x4d with the SWSL weights: 4228 MMAC at 224 px, 22.98 M parameters"

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        model = with_pretrained(
            lambda weights: timm.create_model("resnext50_32x4d.fb_swsl_ig1b_ft_in1k", pretrained=bool(weights)),
            pretrained,
            classifier=("fc.",),
        )
        return Backbone(resnet_stages(model), model.num_features, model)
