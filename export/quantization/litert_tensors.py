"""What the inner tensors of a .tflite file hold on calibration images."""

import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.backends.litert import start
from ...runtime.device import usable_cores
from ..errors import ExportError, one_line
from .graph_images import GraphImages


def inner_values(source: Path, images: GraphImages, names: Collection[str]) -> Iterator[dict[str, np.ndarray]]:
    """Values (1, ...) by tensor, image after image; what is quantised as the real numbers, float32, that it stands for.

    Args:
        source: a file that takes one image at a time.
        images: what its only input takes.
        names: of tensors; those that the file does not have are left out.

    Raises:
        ExportError: LiteRT cannot run it with its inner tensors kept.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that keeping inner tensors is for debugging
            interpreter = start(source.read_bytes(), num_threads=usable_cores(), experimental_preserve_all_tensors=True)
        kept = [tensor for tensor in interpreter.get_tensor_details() if tensor["name"] in names]
        (image,) = interpreter.get_input_details()
        for at in range(len(images)):
            interpreter.set_tensor(image["index"], images[at : at + 1])
            interpreter.invoke()
            yield {tensor["name"]: _real(interpreter.get_tensor(tensor["index"]), tensor) for tensor in kept}
    except Exception as error:  # its exception types are Python's own
        raise ExportError(f"the activations cannot be measured: {one_line(error)}") from error


def _real(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    scale, zero = tensor["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values
