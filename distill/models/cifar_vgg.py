"""VGG-13 with batch normalisation for 32 px images (after Simonyan & Zisserman, ICLR 2015).

As in CRD's benchmark (Tian et al., ICLR 2020, github.com/HobbitLong/RepDistiller, models/vgg.py), whose state dicts fit
as `pretrained`: no fully connected layer but the classifier, global average pooling.
"""

from torch import Tensor, nn

from .backbone import BACKBONES, Backbone, BackboneFactory
from .weights import Pretrained, refuse_imagenet, with_pretrained

_CHANNELS = (64, 128, 256, 512, 512)


class PoolUnlessSmall(nn.Module):
    """Halves maps of 8 px and more.

    The benchmark pools a fourth time for images of 64 px, not for those of 32 px, and knows no other size.
    """

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool2d(x, 2) if min(x.shape[2:]) >= 8 else x


class CifarVGG13(nn.Module):
    """The network with its classifier: five groups of two 3x3 convolutions."""

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__()
        for index, (in_channels, channels) in enumerate(zip((3, *_CHANNELS), _CHANNELS, strict=False)):
            self.add_module(f"block{index}", _group(in_channels, channels))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(_CHANNELS[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def stages(self) -> list[nn.Module]:
        """Strides 1, 2, 4, 8 and, from 64 px on, 16."""
        halving: list[list[nn.Module]] = [[nn.MaxPool2d(2)] for _ in range(3)]
        pools: list[list[nn.Module]] = [[], *halving, [PoolUnlessSmall()]]
        return [nn.Sequential(*pool, self.get_submodule(f"block{i}"), nn.ReLU()) for i, pool in enumerate(pools)]

    def forward(self, images: Tensor) -> Tensor:
        """Logits of normalised images (B, 3, H, W)."""
        for stage in self.stages():
            images = stage(images)
        return self.classifier(self.avgpool(images).flatten(1))


def _group(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.BatchNorm2d(channels),
    )


@BACKBONES.register("cifar_vgg13")
class CifarVGG13Factory(BackboneFactory):
    """Two convolutions a group."""

    description = "VGG-13-BN for 32 px images: 11185 MMAC at 224 px, 9.41 M parameters"

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        refuse_imagenet(pretrained)
        model = with_pretrained(lambda _: CifarVGG13(), pretrained, classifier=("classifier.",))
        return Backbone(model.stages(), _CHANNELS[-1], model)
