"""What an exported graph takes and gives; needs no torch."""

from ..runtime.bundle import InputKind
from ..runtime.tensors import BatchRange, TensorSpec

BATCH = "batch"
SCORES = ("logits", "probabilities")


def input_spec(input: InputKind, size: tuple[int, int]) -> TensorSpec:
    """The graph's input for images of `size` (height, width)."""
    if input == "uint8_nhwc":
        return TensorSpec(name="image", dtype="uint8", shape=(BATCH, *size, 3))
    return TensorSpec(name="image", dtype="float32", shape=(BATCH, 3, *size))


def output_specs(num_classes: int, batch: int | str = BATCH) -> tuple[TensorSpec, ...]:
    """The outputs that every graph has, in order."""
    return tuple(TensorSpec(name=name, dtype="float32", shape=(batch, num_classes)) for name in SCORES)


def allowed_batch(image: TensorSpec, wanted: BatchRange) -> BatchRange:
    """The batch sizes of an artifact: those that are wanted, or the only one that the graph takes."""
    size = image.shape[0]
    return BatchRange(min=size, typical=size, max=size) if isinstance(size, int) else wanted
