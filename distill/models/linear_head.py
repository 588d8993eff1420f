"""Global pooling and one linear layer."""

from typing import Literal

from torch import Tensor, nn


class LinearHead(nn.Module):
    """Global pooling and one linear layer: what a device pays for by default.

    Args:
        in_features: F of the last map.
        num_classes: C.
        pool: average (usual) or max (UD's code) over the map.
    """

    def __init__(self, in_features: int, num_classes: int, pool: Literal["avg", "max"] = "avg") -> None:
        super().__init__()
        self.pool: nn.Module = nn.AdaptiveAvgPool2d(1) if pool == "avg" else nn.AdaptiveMaxPool2d(1)
        self.linear = nn.Linear(in_features, num_classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F, H, W) -> what the layer reads (B, F) and logits (B, C)."""
        vector = self.pool(features).flatten(1)
        return vector, self.linear(vector)
