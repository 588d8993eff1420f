"""The calibration branch of UD: a second opinion that ranks an image's labels against each other."""

from torch import Tensor, nn


class CalibrationBranch(nn.Module):
    """Linear-BatchNorm-ReLU-Linear on the pooled features: UD (MM 2021) Sec. 4.2.2.

    Args:
        in_features: F of the pooled features.
        num_classes: C.
        hidden: width between the two layers; 512 is that of the authors' code.
    """

    def __init__(self, in_features: int, num_classes: int, hidden: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, num_classes)
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, F) -> logits (B, C), which a softmax reads."""
        return self.layers(pooled)
