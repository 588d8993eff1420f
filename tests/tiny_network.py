"""`tiny`: a network for tests of what surrounds one. Its step takes a millisecond, its trace a second."""

from torch import nn

from edgedistill.distill.models.backbone import BACKBONES, Backbone, BackboneFactory

NAME = "tiny"


@BACKBONES.register(NAME)
class Tiny(BackboneFactory):
    """Three maps, of a convolution each; one is depthwise, so that a CPU trains it in float32.

    Processes that a test starts know it by EDGEDISTILL_PLUGINS=tiny_network and this folder on PYTHONPATH.
    """

    description = "for tests: 6 MMAC at 224 px, 0.0 M parameters"

    def build(self, *, width: float, pretrained: str | None) -> Backbone:
        channels = (3, 8, 16, 16)
        stages = [
            nn.Sequential(
                nn.Conv2d(given, made, 3, 2, 1, groups=groups, bias=False), nn.BatchNorm2d(made), nn.ReLU(inplace=True)
            )
            for given, made, groups in zip(channels, channels[1:], (1, 8, 1), strict=False)
        ]
        return Backbone(stages, channels[-1])
