"""The module that is traced: pixels in, logits and probabilities out."""

from torch import Tensor, nn

from ..distill.models import Classifier
from ..runtime.bundle import InputKind


class DeployGraph(nn.Module):
    """A classifier as the device sees it.

    Args:
        model: reparameterized.
        input: "uint8_nhwc" takes uint8 (N, H, W, 3) RGB and normalises inside; "float32_nchw" takes normalised
            float32 (N, 3, H, W).
    """

    def __init__(self, model: Classifier, input: InputKind = "uint8_nhwc") -> None:
        super().__init__()
        self.model = model
        self.input = input
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities, each float32 (N, C)."""
        if self.input == "uint8_nhwc":
            # float() before the transpose: TensorRT cannot transpose uint8. contiguous(): with channels-last strides
            # the exporter turns global pooling into a strided gather of nine operators.
            image = self.model.normalize(image.float()).contiguous()
        logits = self.model(image).logits
        return logits, logits.sigmoid()
