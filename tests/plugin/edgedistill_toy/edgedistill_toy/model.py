"""`toy_mean`: one 1x1 convolution; with average pooling and a linear head, a linear function of the mean pixel."""

from torch import nn

from edgedistill.distill.models.backbone import BACKBONES, Backbone, BackboneFactory


@BACKBONES.register("toy_mean")
class ToyMean(BackboneFactory):
    description = "a linear function of the mean pixel: 2 MMAC at 224 px, 32 parameters"

    def build(self, *, width: float, pretrained: str | None) -> Backbone:
        return Backbone([nn.Conv2d(3, 8, 1)], channels=8)
