"""Wide ResNets for 32 px images (Zagoruyko & Komodakis, BMVC 2016): WRN-depth-width, normalised before convolutions.

As in CRD's benchmark (Tian et al., ICLR 2020, github.com/HobbitLong/RepDistiller, models/wrn.py), whose state dicts fit
as `pretrained`. The maps of the first two stages are taken where a block adds them, before the next normalisation.
"""

from torch import Tensor, nn

from .backbone import BACKBONES, Backbone, BackboneFactory
from .weights import Pretrained, refuse_imagenet, with_pretrained


class PreActivationBlock(nn.Module):
    """Normalisation and ReLU before each of two 3x3 convolutions; a projection shortcut branches off behind them."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.convShortcut: nn.Module | None = None  # spelt as in the benchmark's state dicts
        if in_channels != channels:
            self.convShortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.relu1(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(active)
        return self.conv2(self.relu2(self.bn2(self.conv1(active)))) + shortcut


class Group(nn.Module):
    """Blocks of one resolution."""

    def __init__(self, in_channels: int, channels: int, blocks: int, *, stride: int) -> None:
        super().__init__()
        first = PreActivationBlock(in_channels, channels, stride)
        self.layer = nn.Sequential(first, *(PreActivationBlock(channels, channels, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNet(nn.Module):
    """The network with its classifier.

    Args:
        depth: 6 n + 4, n blocks in each group.
        widening: of the three groups' 16, 32 and 64 channels.
        num_classes: of `fc`.
    """

    def __init__(self, depth: int, widening: int, num_classes: int = 100) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        widths = [16, 16 * widening, 32 * widening, 64 * widening]
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.block1 = Group(widths[0], widths[1], blocks, stride=1)
        self.block2 = Group(widths[1], widths[2], blocks, stride=2)
        self.block3 = Group(widths[2], widths[3], blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(widths[3])
        self.relu = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def stages(self) -> list[nn.Module]:
        """Strides 1, 2, 4."""
        return [nn.Sequential(self.conv1, self.block1), self.block2, nn.Sequential(self.block3, self.bn1, self.relu)]

    def forward(self, images: Tensor) -> Tensor:
        """Logits of normalised images (B, 3, H, W)."""
        for stage in self.stages():
            images = stage(images)
        return self.fc(self.avgpool(images).flatten(1))


class WideResNetFactory(BackboneFactory):
    """One of the family."""

    depth: int
    widening: int

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        refuse_imagenet(pretrained)
        model = with_pretrained(lambda _: WideResNet(self.depth, self.widening), pretrained, classifier=("fc.",))
        return Backbone(model.stages(), 64 * self.widening, model)


@BACKBONES.register("cifar_wrn16_2")
class WRN16x2(WideResNetFactory):
    """Two blocks a group, twice the channels."""

    depth, widening = 16, 2
    description = "WRN-16-2 for 32 px images: 4954 MMAC at 224 px, 0.69 M parameters"


@BACKBONES.register("cifar_wrn40_1")
class WRN40x1(WideResNetFactory):
    """Six blocks a group."""

    depth, widening = 40, 1
    description = "WRN-40-1 for 32 px images: 4081 MMAC at 224 px, 0.56 M parameters"


@BACKBONES.register("cifar_wrn40_2")
class WRN40x2(WideResNetFactory):
    """Six blocks a group, twice the channels."""

    depth, widening = 40, 2
    description = "WRN-40-2 for 32 px images: 16052 MMAC at 224 px, 2.24 M parameters"
