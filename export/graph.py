"""The module that is traced: pixels in, logits and probabilities out."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..distill.models import Classifier
from ..runtime.bundle import InputKind
from .optional_outputs import OPTIONAL_OUTPUTS
from .signature import SCORES


class DeployGraph(nn.Module):
    """A classifier as the device sees it.

    Args:
        model: reparameterized.
        input: "uint8_nhwc" takes uint8 (N, H, W, 3) RGB and normalises inside; "float32_nchw" takes normalised
            float32 (N, 3, H, W).
        outputs: further ones, of `optional_outputs`.
    """

    def __init__(self, model: Classifier, input: InputKind = "uint8_nhwc", outputs: Sequence[str] = ()) -> None:
        super().__init__()
        self.model = model
        self.input = input
        self.outputs = tuple(outputs)
        self.eval()

    @property
    def output_names(self) -> list[str]:
        """In the order of what `forward` returns."""
        return [*SCORES, *self.outputs]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits and probabilities, each float32 (N, C), then the further outputs."""
        if self.input == "uint8_nhwc":
            # float() before the transpose: TensorRT cannot transpose uint8. contiguous(): with channels-last strides
            # the exporter turns global pooling into a strided gather of nine operators.
            image = self.model.normalize(image.float()).contiguous()
        output = self.model(image)
        further = [OPTIONAL_OUTPUTS[name](self.model, output) for name in self.outputs]
        return output.logits, output.logits.sigmoid(), *further
