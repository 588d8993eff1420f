"""Arrays: what is unambiguous is taken, the rest refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from image_files import on_white, picture

from edgedistill.runtime.errors import DataError
from edgedistill.runtime.preprocess import Preprocessing, load, open_image


@given(
    dtype=st.sampled_from(["u1", "<u2", ">u2", "f2", "<f4", ">f4", "f8"]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([None, 1, 3, 4]),
    layout=st.sampled_from(["as it is", "read-only", "every other", "turned round", "Fortran"]),
    data=st.data(),
)
def test_every_array_that_is_taken(dtype, height, width, channels, layout, data):
    shape = (height, width) if channels is None else (height, width, channels)
    limits = {"elements": st.floats(0, 1, width=8 * np.dtype(dtype).itemsize)} if "f" in dtype else {}
    array = data.draw(arrays.arrays(dtype, shape, **limits))
    if layout == "read-only":
        array.flags.writeable = False
    elif layout == "every other":
        array = np.repeat(np.repeat(array, 2, 0), 3, 1)[::2, ::3]
    elif layout == "turned round":
        array = np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
    elif layout == "Fortran":
        array = np.asfortranarray(array)
    if array.dtype.kind == "f":
        levels = np.floor(array.astype(np.float64) * 255 + 0.5).astype(np.uint8)
    else:
        levels = (array >> (8 * (array.dtype.itemsize - 1))).astype(np.uint8)
    levels = levels.reshape(height, width, -1)
    if channels == 4:
        levels = on_white(levels[..., :3], levels[..., 3:])
    expected = np.broadcast_to(levels, (height, width, 3))
    np.testing.assert_array_equal(load(array, Preprocessing(size=(height, width))), expected)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 3), np.int8),
        np.zeros((2, 2, 3), np.int64),
        np.zeros((2, 2, 3), np.uint32),
        np.zeros((2, 2, 3), bool),
        np.zeros((2, 2, 3), complex),
        np.full((2, 2), "a"),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(3, np.uint8),
        np.array(3, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
    ],
)
def test_the_rest_is_refused_by_name(array):
    with pytest.raises(DataError) as caught:
        open_image(array)
    message = str(caught.value)
    assert str(array.dtype) in message
    assert str(array.shape) in message
    assert "(H, W, 3)" in message
    assert "\n" not in message


def test_an_array_is_not_changed_and_not_kept():
    array = picture()
    before = array.copy()
    image = open_image(array)
    array[:] = 0
    np.testing.assert_array_equal(image, before)
