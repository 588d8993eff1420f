"""What a device may get wrong before the graph sees an image: the self-test must notice, in every precision."""

import numpy as np
import pytest
from PIL import Image

from edgedistill.runtime import selftest
from edgedistill.runtime.bundle import Bundle
from edgedistill.runtime.parity import golden
from edgedistill.runtime.preprocess import load

ARTIFACTS = ("onnxruntime-cpu-fp32", "openvino-cpu-fp32", "openvino-cpu-bf16")


def swapped(pixels):
    return np.ascontiguousarray(pixels[..., ::-1])


def gamma(pixels):
    return (255 * (pixels / 255.0) ** 1.2).round().astype(np.uint8)


def shifted(pixels):
    return np.roll(pixels, 1, axis=1)


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_the_right_pixels_pass(exported, artifact):
    assert selftest(exported[0], artifacts=[artifact]).verdict == "passed"


@pytest.mark.parametrize("fault", [swapped, gamma, shifted])
@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_other_pixels_fail(exported, monkeypatch, artifact, fault):
    monkeypatch.setattr(golden, "load", lambda source, preprocessing: fault(load(source, preprocessing)))
    assert selftest(exported[0], artifacts=[artifact]).verdict == "failed"


@pytest.mark.parametrize("change", [{"interpolation": "bicubic"}, {"resize": "center_crop"}])
@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_another_resize_fails(exported, artifact, change):
    import msgspec

    bundle, _ = exported
    preprocessing = msgspec.structs.replace(bundle.manifest.preprocessing, **change)
    manifest = msgspec.structs.replace(bundle.manifest, preprocessing=preprocessing)
    assert selftest(Bundle(bundle.storage, manifest, b""), artifacts=[artifact]).verdict == "failed"


def test_orientation_is_proven(exported):
    """A device that ignores EXIF gets a picture on its side: at least one golden photograph is stored so."""
    bundle, _ = exported
    import io

    stored = [Image.open(io.BytesIO(bundle.read(golden.file))) for golden in bundle.manifest.selftest]
    assert any(image.getexif().get(0x112) == 6 for image in stored)
    height, width = bundle.manifest.preprocessing.size
    assert sum(image.width > width and image.height > height for image in stored) >= 2
    assert len({image.size for image in stored}) >= 2
