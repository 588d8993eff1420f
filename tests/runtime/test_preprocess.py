"""The record of how an image becomes the graph's input."""

import msgspec
import numpy as np
import pytest

from edgedistill.runtime.preprocess import Preprocessing, load, normalize


def test_a_field_of_a_later_version_is_ignored_and_a_wrong_value_is_not():
    written = b'{"size": [4, 6], "resize": "center_crop", "padding": "reflect"}'
    assert msgspec.json.decode(written, type=Preprocessing) == Preprocessing(size=(4, 6), resize="center_crop")
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"size": [4, 6], "resize": "stretch"}', type=Preprocessing)


def test_an_image_of_the_target_s_size_is_left_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    for resize in ("squash", "center_crop"):
        for interpolation in ("bilinear", "bicubic"):
            preprocessing = Preprocessing(size=(9, 7), resize=resize, interpolation=interpolation)
            np.testing.assert_array_equal(load(pixels, preprocessing), pixels)


def test_normalize():
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), np.uint8)
    preprocessing = Preprocessing(size=(5, 6), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    expected = (images / 255.0 - (0.1, 0.2, 0.3)) / (0.4, 0.5, 0.6)
    found = normalize(images, preprocessing)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2), atol=2e-6)
