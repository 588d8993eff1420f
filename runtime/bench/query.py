"""The batch that is inferred again and again, made from what the graph says that it takes."""

import numpy as np

from ..errors import BundleError
from ..tensors import TensorSpec

_LARGEST_INTEGER = 255
_MOST_CHANNELS = 4


def random_batch(spec: TensorSpec, batch_size: int, size: tuple[int, int] | None = None) -> np.ndarray:
    """A fixed random batch for a graph's input; a convnet's time does not depend on the pixels.

    Args:
        spec: the input; its first dimension may be symbolic, and with `size` an image's height and width.
        batch_size: images in the batch.
        size: the height and width, where the graph leaves them open.

    Returns:
        An array of the input's dtype and shape: integers from 0 to 255 (or the dtype's largest), normally distributed
        floats, or random booleans.

    Raises:
        BundleError: a dtype that numpy does not have, a symbolic dimension for which there is no number, a fixed other
            batch or size.
    """
    shape = (batch_size, *_without_symbols(spec, size)[1:])
    if spec.shape and isinstance(spec.shape[0], int) and spec.shape[0] != batch_size:
        raise BundleError(f"the input {spec.name!r} takes batches of {spec.shape[0]}, not {batch_size}.")
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


def _without_symbols(spec: TensorSpec, size: tuple[int, int] | None) -> tuple[int, ...]:
    """The shape with `size` in place of a symbolic height and width; of the batch's place nothing is said."""
    places = _image_places(spec.shape)
    others = [f"{name} (dimension {place})" for place, name in _symbolic(spec.shape) if place not in places]
    if others:
        raise BundleError(
            f"the input {spec.name!r} has the shape {spec.shape}: nothing says how large {', '.join(others)} is; only "
            "the batch, and an image's height and width, may be symbolic."
        )
    if any(isinstance(side, int) and side < 1 for side in spec.shape[1:]):
        raise BundleError(f"the input {spec.name!r} has the shape {spec.shape}: it takes nothing. Export it again.")
    if size is None and _symbolic(spec.shape):
        raise BundleError(
            f"the input {spec.name!r} has the shape {spec.shape}: it takes images of any size: say which, e.g. "
            "--size 224 or --size 224x320, of the model file alone."
        )
    given = dict(zip(places, size, strict=False)) if size is not None else {}
    if any(isinstance(spec.shape[place], int) and spec.shape[place] != side for place, side in given.items()):
        raise BundleError(
            f"the input {spec.name!r} has the shape {spec.shape}: --size says another: leave it out, or say its own."
        )
    return tuple(int(given.get(place, side)) for place, side in enumerate((1, *spec.shape[1:])))


def _symbolic(shape: tuple[int | str, ...]) -> list[tuple[int, str]]:
    """Places and names of the symbolic dimensions besides the first."""
    return [(place, side) for place, side in enumerate(shape) if place and isinstance(side, str)]


def _image_places(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    """Where height and width stand: (2, 3) in NCHW, (1, 2) in NHWC, nowhere in what has not four dimensions."""
    if len(shape) != 4:
        return ()
    first, middle, last = (side if isinstance(side, int) else 0 for side in shape[1:])
    few_first, few_last = (1 <= count <= _MOST_CHANNELS for count in (first, last))
    if few_first != few_last:
        return (1, 2) if few_last else (2, 3)
    return (1, 2) if last and not middle and not first else (2, 3)  # more channels than colours: what is open decides
