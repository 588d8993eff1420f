"""Parameters and multiply-accumulates against closed forms, and against what papers publish."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgedistill.distill.models import Classifier, build_model
from edgedistill.distill.models.backbone import Backbone
from edgedistill.distill.models.size import count_parameters, deployed_size

CLASSES = 5


def two_convolutions(head: str = "linear", branches: tuple[str, ...] = ()) -> Classifier:
    stages = [nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 16, 3, padding=1, groups=4, bias=False)]
    return Classifier(Backbone(stages, 16), CLASSES, head=head, branches=branches)


# Maps of 20 x 12: 240 positions, each 9 * 3 products for every channel, then 9 * 8 / 4 for every channel.
BACKBONE_MACS = 240 * (8 * 9 * 3 + 16 * 9 * 2)
BACKBONE_PARAMETERS = 8 * 9 * 3 + 8 + 16 * 9 * 2


@pytest.mark.parametrize("branches", [(), ("ml_decoder",)])
def test_convolutions_and_the_head_without_branches(branches):
    model = two_convolutions(branches=branches)
    before = count_parameters(model)
    found = deployed_size(model, (40, 24))
    assert found.macs == BACKBONE_MACS + 16 * CLASSES
    assert found.parameters == BACKBONE_PARAMETERS + 16 * CLASSES + CLASSES
    assert tuple(model.branches) == branches
    assert count_parameters(model) == before
    assert model.training


def test_a_decoder_head_counts_without_its_constant_queries():
    d, ffn, positions = 768, 2048, 240
    found = deployed_size(two_convolutions("ml_decoder"), (40, 24))
    tokens = positions * (16 * d + 2 * d * d)  # projection, keys and values
    attention = 2 * CLASSES * positions * d
    labels = CLASSES * (d * d + 2 * d * ffn)  # of the attended values, and the feed-forward part
    assert found.macs == BACKBONE_MACS + tokens + attention + labels
    linear = 16 * d + d + 3 * (d * d + d) + (d * ffn + ffn) + (ffn * d + d)
    assert found.parameters == BACKBONE_PARAMETERS + linear + 2 * 2 * d + CLASSES * d + CLASSES


def test_attention_counts_its_two_products():
    class Attention(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tokens = images.flatten(2).transpose(1, 2)
            return F.scaled_dot_product_attention(tokens, tokens, tokens)

    assert deployed_size(Attention(), (6, 4)) == (0, 2 * 24 * 24 * 3)


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("mobilenetv2", 3.504872e6, 300e6),  # Sandler et al. 2018, Table 4; parameters as torchvision lists them
        ("shufflenetv2", 2.278604e6, 146e6),  # Ma et al. 2018, Table 8
        ("torchvision/resnet50", 25.557032e6, 4.09e9),  # as torchvision lists them
        (
            "repvgg_a0",
            8.30e6,
            1.36e9,
        ),  # the deployed form: Ding et al. 2021, Table 4 (1.4 G there; 1.36 G in timm's list)
    ],
)
def test_published_networks_of_1000_classes_at_224(name, parameters, macs):
    found = deployed_size(build_model(name, 1000), (224, 224))
    assert found.parameters == pytest.approx(parameters, rel=0.002)
    assert found.macs == pytest.approx(macs, rel=0.02)
