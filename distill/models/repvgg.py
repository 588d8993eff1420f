"""RepVGG (Ding et al., CVPR 2021), timm's: three branches in training, one 3x3 convolution when exported."""

import timm
from torch import nn

from .backbone import BACKBONES, Backbone, BackboneFactory
from .weights import Pretrained, with_pretrained


class RepVGG(BackboneFactory):
    """VGG-like plain stack with re-parameterizable blocks."""

    variant: str
    blocks = ("standard", "qa")

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        model = with_pretrained(
            lambda weights: timm.create_model(self.variant, pretrained=bool(weights)), pretrained, classifier=("head.",)
        )
        stages: list[nn.Module] = [model.stem, *model.stages]
        return Backbone(stages, model.num_features, model)


@BACKBONES.register("repvgg_a0")
class RepVGGA0(RepVGG):
    """The smallest of the A series."""

    variant = "repvgg_a0"
    description = "RepVGG-A0, re-parameterized: 1360 MMAC at 224 px, 7.03 M parameters"


@BACKBONES.register("repvgg_a2")
class RepVGGA2(RepVGG):
    """The largest of the A series, a teacher for A0 in the papers."""

    variant = "repvgg_a2"
    description = "RepVGG-A2, re-parameterized: 5116 MMAC at 224 px, 24.09 M parameters"
