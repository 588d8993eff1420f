"""ReviewKD's fusion: what a student's maps say together, in the shapes of its teacher's."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, int, int]


def review_levels(stages: Sequence[Tensor], count: int) -> list[Tensor]:
    """What takes part of a network: its pooled features (B, F, 1, 1), then its `count` last maps, deep to shallow.

    Half-precision maps are averaged in float32.
    """
    last = stages[-1]
    pooled = last.mean((2, 3), keepdim=True, dtype=torch.promote_types(last.dtype, torch.float32))
    return [pooled, *reversed(stages[-count:])]


class AttentionFusion(nn.Module):
    """One level of the review: its map, fused with all that is deeper, towards a teacher's map.

    The attention-based fusion (ABF) of ReviewKD (CVPR 2021) Sec. 3, as in the authors' code: where both maps meet, two
    learned weights in (0, 1) for each position say how much of each passes on.

    Args:
        in_channels: of the student's map.
        width: channels of the fused map.
        out_shape: (F, H, W) of the teacher's map.
        deepest: there is nothing deeper to fuse with.
    """

    def __init__(self, in_channels: int, width: int, out_shape: Shape, *, deepest: bool) -> None:
        super().__init__()
        self.out_size = out_shape[1:]
        self.project = nn.Sequential(nn.Conv2d(in_channels, width, 1, bias=False), nn.BatchNorm2d(width))
        self.attention = None if deepest else nn.Conv2d(2 * width, 2, 1)
        self.output = nn.Sequential(
            nn.Conv2d(width, out_shape[0], 3, padding=1, bias=False), nn.BatchNorm2d(out_shape[0])
        )
        for convolution in (*self.project.children(), *self.output.children()):
            if isinstance(convolution, nn.Conv2d):
                nn.init.kaiming_uniform_(convolution.weight, a=1)

    def forward(self, features: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, in_channels, h, w) and the next deeper level's fused map -> the teacher's shape, and this fused map."""
        fused = self.project(features)
        if self.attention is not None:
            assert deeper is not None
            # The convolution of both side by side, without the copy: a 1 x 1 convolution may precede the enlargement.
            ours, theirs = self.attention.weight.chunk(2, dim=1)
            size = fused.shape[2:]
            score = F.conv2d(fused, ours) + F.interpolate(F.conv2d(deeper, theirs, self.attention.bias), size)
            keep, take = score.sigmoid().split(1, dim=1)
            fused = keep * fused + take * F.interpolate(deeper, size)
        if fused.shape[2:] != self.out_size:
            fused = F.interpolate(fused, self.out_size)
        return self.output(fused), fused


class Review(nn.Module):
    """The fusion of all levels, from the deepest to the shallowest.

    Args:
        channels: of the student's levels, deep to shallow (see `review_levels`).
        shapes: (F, H, W) of the teacher's, one for each.
        width: channels of the fused maps.
    """

    def __init__(self, channels: Sequence[int], shapes: Sequence[Shape], width: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            AttentionFusion(own, width, shape, deepest=index == 0)
            for index, (own, shape) in enumerate(zip(channels, shapes, strict=True))
        )

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """The student's maps, shallow to deep -> its fused maps in the teacher's shapes, deep to shallow."""
        fused, reviewed = None, []
        for level, features in zip(self.levels, review_levels(stages, len(self.levels) - 1), strict=True):
            output, fused = level(features, fused)
            reviewed.append(output)
        return reviewed


@torch.no_grad()
def build_review(student: nn.Module, teacher: nn.Module, size: tuple[int, int], *, width: int, count: int) -> Review:
    """The fusion for a pair of backbones, whose maps one blank image of each tells; their modes are left as they were.

    Args:
        student: its maps are fused.
        teacher: gives the shapes.
        size: (height, width) of the images, in pixels.
        width: channels of the fused maps.
        count: stages that take part, fewer where one of the two has fewer: the deepest of each, pair by pair.
    """
    maps = []
    for backbone in (student, teacher):
        training, like = backbone.training, next(backbone.parameters())
        maps.append(backbone.eval()(torch.zeros(1, 3, *size, device=like.device, dtype=like.dtype)))
        backbone.train(training)
    count = min(count, *map(len, maps))
    own, theirs = (review_levels(stages, count) for stages in maps)
    return Review(
        [level.shape[1] for level in own], [(level.shape[1], level.shape[2], level.shape[3]) for level in theirs], width
    )
