"""The batch that is inferred again and again, made from what the graph says that it takes."""

import numpy as np

from ..errors import BundleError
from ..tensors import TensorSpec

_LARGEST_INTEGER = 255


def random_batch(spec: TensorSpec, batch_size: int) -> np.ndarray:
    """A fixed random batch for a graph's input; a convnet's time does not depend on the pixels.

    Args:
        spec: the input; its first dimension may be symbolic, the others are numbers.
        batch_size: images in the batch.

    Returns:
        An array of the input's dtype and shape: integers from 0 to 255 (or the dtype's largest), normally distributed
        floats, or random booleans.

    Raises:
        BundleError: a dtype that numpy does not have, a symbolic dimension besides the batch, a fixed other batch.
    """
    sizes = (batch_size, *spec.shape[1:])
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise BundleError(f"the input {spec.name!r} has the shape {spec.shape}: only the batch may be symbolic.")
    if spec.shape and isinstance(spec.shape[0], int) and spec.shape[0] != batch_size:
        raise BundleError(f"the input {spec.name!r} takes batches of {spec.shape[0]}, not {batch_size}.")
    shape = tuple(int(size) for size in sizes)
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError:
        raise BundleError(f"the input {spec.name!r} is {spec.dtype}, which cannot be made up here.") from None
    generator = np.random.default_rng(0)
    if dtype.kind == "f":
        return generator.standard_normal(shape, dtype=np.float32).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape, dtype=np.uint8).astype(dtype)
    if dtype.kind in "iu":
        largest = min(_LARGEST_INTEGER, int(np.iinfo(dtype).max))
        return generator.integers(0, largest, shape, dtype=dtype, endpoint=True)
    raise BundleError(f"the input {spec.name!r} is {spec.dtype}, which cannot be made up here.")
