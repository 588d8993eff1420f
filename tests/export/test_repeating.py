"""What a request's digest depends on."""

import numpy as np

from edgedistill.export.quantization.calibration import Calibration
from edgedistill.export.repeating import request_digest
from edgedistill.runtime.datasets import Dataset
from edgedistill.runtime.targets import load_target


def test_every_part_of_a_request_tells(photographs):
    target = load_target("onnxruntime-cpu-fp32")
    data = Dataset("test", ("cat",), ("0",), [np.zeros((2, 2, 3), np.uint8)], np.ones((1, 1), np.int8))
    changes = {
        "name": "other",
        "input": "float32_nchw",
        "opset": 18,
        "golden": photographs,
        "references": [data],
        "calibration": Calibration(data, data),
    }
    same = request_digest("ab", [target])
    digests = {request_digest("ab", [target], **{key: value}) for key, value in changes.items()}
    others = {request_digest("cd", [target]), request_digest("ab", [load_target("openvino-cpu-fp32")])}
    assert same == request_digest("ab", [target])
    assert len({same, *digests, *others}) == 1 + len(changes) + 2
