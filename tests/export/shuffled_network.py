"""`shuffled`: two units of ShuffleNetV2, which has sixteen."""

from torch import nn
from torchvision.models.shufflenetv2 import InvertedResidual

from edgedistill.distill.models.backbone import BACKBONES, Backbone, BackboneFactory

NAME = "shuffled"


@BACKBONES.register(NAME)
class Shuffled(BackboneFactory):
    """A stem with a pooling, a unit that halves the map, and one that splits its channels."""

    description = "for tests: 8 MMAC at 224 px, 0.0 M parameters"

    def build(self, *, width: float, pretrained: str | None) -> Backbone:
        stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        units = nn.Sequential(InvertedResidual(16, 32, stride=2), InvertedResidual(32, 32, stride=1))
        return Backbone([stem, nn.Sequential(nn.MaxPool2d(3, 2, 1), units)], 32)
