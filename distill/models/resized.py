"""A teacher that is shown its student's views at a size of its own."""

from collections.abc import Collection
from typing import Literal

from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from .classifier import Classifier
from .merged import MergedTeacher
from .output import ModelOutput
from .outside import MappedNetwork, OutsideNetwork


class ResizedInput(nn.Module):
    """Resizes what a network is shown, on the network's device, with an antialiased filter.

    The view is the student's, with its crop, flip and colours to the pixel; larger than that, it holds no more detail.

    Args:
        network: what is shown them.
        size: (height, width) in pixels.
        interpolation: the filter.
    """

    def __init__(
        self,
        network: Classifier | MergedTeacher | MappedNetwork | OutsideNetwork,
        size: tuple[int, int],
        interpolation: Literal["bilinear", "bicubic"],
    ) -> None:
        super().__init__()
        self.network, self.size, self.interpolation = network, size, interpolation
        self.eval()

    def detach_branches(self, keep: Collection[str] = ()) -> None:
        """As the network's."""
        self.network.detach_branches(keep)

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) RGB of any size -> what the network takes, of its own."""
        mode = functional.InterpolationMode(self.interpolation)
        shown = functional.resize(images.permute(0, 3, 1, 2), list(self.size), interpolation=mode, antialias=True)
        return self.network.normalize(shown.permute(0, 2, 3, 1).contiguous())

    def forward(self, images: Tensor) -> ModelOutput:
        """The network's outputs."""
        return self.network(images)

    def extra_repr(self) -> str:
        """What decides the outputs beside the network."""
        return f"{self.size}, {self.interpolation}"
