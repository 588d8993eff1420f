"""What `bench` feeds a graph: made up from its input's type and shape, or refused in one line."""

import numpy as np
import pytest

from edgedistill.runtime.bench.query import random_batch
from edgedistill.runtime.errors import BundleError
from edgedistill.runtime.tensors import TensorSpec

SPECS = [
    ("uint8", ("batch", 4, 4, 3), 0, 255),
    ("int8", ("n", 8), 0, 127),
    ("int64", (2, 8), 0, 255),
    ("bool", ("batch", 64), 0, 1),
    ("float16", ("batch", 3, 4, 4), -10, 10),
    ("float32", ("batch", 3, 4, 4), -10, 10),
    ("float64", ("batch",), -10, 10),
]


@pytest.mark.parametrize(("dtype", "shape", "least", "most"), SPECS)
def test_the_query_is_made_from_the_graph_s_input(dtype, shape, least, most):
    batch = random_batch(TensorSpec(name="x", dtype=dtype, shape=shape), 2)
    assert (batch.dtype, batch.shape) == (np.dtype(dtype), (2, *shape[1:]))
    assert least <= batch.min() <= batch.max() <= most
    assert np.unique(batch).size > 1
    assert np.array_equal(batch, random_batch(TensorSpec(name="x", dtype=dtype, shape=shape), 2))


@pytest.mark.parametrize(
    ("dtype", "shape", "message"),
    [
        ("bfloat16", ("batch", 3), "is bfloat16, which cannot be made up here"),
        ("str", ("batch", 3), "is str, which cannot be made up here"),
        ("float32", ("batch", 3, "height", 4), "takes images of any size: say which, e.g. --size 224 or"),
        ("float32", ("batch", "tokens"), r"nothing says how large tokens \(dimension 1\) is"),
        ("float32", ("batch", 0), "it takes nothing"),
        ("float32", (4, 3), "takes batches of 4, not 2"),
    ],
)
def test_an_input_that_cannot_be_made_up_is_named(dtype, shape, message):
    with pytest.raises(BundleError, match=message):
        random_batch(TensorSpec(name="x", dtype=dtype, shape=shape), 2)


@pytest.mark.parametrize(
    ("shape", "made"),
    [
        (("n", 3, "h", "w"), (2, 3, 8, 6)),
        (("n", 3, "h", 6), (2, 3, 8, 6)),
        (("n", 12, "h", "w"), (2, 12, 8, 6)),
        (("n", 3, 8, 6), (2, 3, 8, 6)),
        (("n", "h", "w", 3), (2, 8, 6, 3)),
        (("n", 8, "w", 3), (2, 8, 6, 3)),
        (("n", "h", 6, 1), (2, 8, 6, 1)),
        (("?", "?", "?", 12), (2, 8, 6, 12)),
        (("n", 7), (2, 7)),
    ],
)
def test_height_and_width_may_be_given(shape, made):
    assert random_batch(TensorSpec(name="x", dtype="float32", shape=shape), 2, (8, 6)).shape == made


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (("n", "c", "h", "w"), r"nothing says how large c \(dimension 1\) is"),
        (("n", "c", 8, 8), r"nothing says how large c \(dimension 1\) is"),
        (("n", 3, "t", "h", "w"), r"nothing says how large t \(dimension 2\), h \(dimension 3\), w \(dimension 4\) is"),
        (("n", "tokens"), r"nothing says how large tokens \(dimension 1\) is"),
        (("n", 3, 8, 8), "--size says another"),
        (("n", 3, 9, "w"), "--size says another"),
    ],
)
def test_other_open_dimensions_are_named_and_another_size_is_refused(shape, message):
    with pytest.raises(BundleError, match=message) as refused:
        random_batch(TensorSpec(name="x", dtype="float32", shape=shape), 2, (8, 6))
    assert "\n" not in str(refused.value)
