"""ResNets for 32 px images (He et al., CVPR 2016, Sec. 4.2): three groups of blocks, no stride before the second.

As in CRD's benchmark (Tian et al., ICLR 2020, github.com/HobbitLong/RepDistiller, models/resnet.py), whose state dicts
fit as `pretrained`: 1x1 convolutions as projection shortcuts; "x4" is 32-64-128-256 channels instead of 16-16-32-64.
"""

from torch import Tensor, nn

from .backbone import BACKBONES, Backbone, BackboneFactory
from .weights import Pretrained, refuse_imagenet, with_pretrained


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class CifarResNet(nn.Module):
    """The network with its classifier.

    Args:
        depth: 6 n + 2, n blocks in each group.
        widths: channels of the stem and of the three groups.
        num_classes: of `fc`.
    """

    def __init__(self, depth: int, widths: tuple[int, int, int, int], num_classes: int = 100) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _group(widths[0], widths[1], blocks, stride=1)
        self.layer2 = _group(widths[1], widths[2], blocks, stride=2)
        self.layer3 = _group(widths[2], widths[3], blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stages(self) -> list[nn.Module]:
        """Strides 1, 2, 4."""
        return [nn.Sequential(self.conv1, self.bn1, self.relu, self.layer1), self.layer2, self.layer3]

    def forward(self, images: Tensor) -> Tensor:
        """Logits of normalised images (B, 3, H, W)."""
        for stage in self.stages():
            images = stage(images)
        return self.fc(self.avgpool(images).flatten(1))


def _group(in_channels: int, channels: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))


class CifarResNetFactory(BackboneFactory):
    """One of the family."""

    depth: int
    widths_of_groups: tuple[int, int, int, int] = (16, 16, 32, 64)

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        refuse_imagenet(pretrained)
        model = with_pretrained(
            lambda _: CifarResNet(self.depth, self.widths_of_groups), pretrained, classifier=("fc.",)
        )
        return Backbone(model.stages(), self.widths_of_groups[-1], model)


@BACKBONES.register("cifar_resnet20")
class CifarResNet20(CifarResNetFactory):
    """Three blocks a group."""

    depth = 20
    description = "ResNet-20 for 32 px images: 2000 MMAC at 224 px, 0.27 M parameters"


@BACKBONES.register("cifar_resnet56")
class CifarResNet56(CifarResNetFactory):
    """Nine blocks a group."""

    depth = 56
    description = "ResNet-56 for 32 px images: 6162 MMAC at 224 px, 0.86 M parameters"


@BACKBONES.register("cifar_resnet32x4")
class CifarResNet32x4(CifarResNetFactory):
    """Five blocks a group, four times the channels."""

    depth = 32
    widths_of_groups = (32, 64, 128, 256)
    description = "ResNet-32x4 for 32 px images: 53068 MMAC at 224 px, 7.41 M parameters"
