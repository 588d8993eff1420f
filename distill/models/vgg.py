"""VGG (Simonyan & Zisserman, ICLR 2015) with batch normalisation, torchvision's."""

from torchvision.models import vgg19_bn

from .backbone import BACKBONES, Backbone, BackboneFactory, group_by_resolution
from .weights import Pretrained, with_pretrained


@BACKBONES.register("vgg19_bn")
class VGG19BN(BackboneFactory):
    """Sixteen convolutions; the three fully connected layers behind them give way to the head."""

    description = "VGG-19-BN without its fully connected layers: 19508 MMAC at 224 px, 20.03 M parameters"

    def build(self, *, width: float, pretrained: Pretrained) -> Backbone:
        model = with_pretrained(
            lambda weights: vgg19_bn(weights="IMAGENET1K_V1" if weights else None),
            pretrained,
            classifier=("classifier.",),
        )
        return Backbone(group_by_resolution(model.features), 512, model)
