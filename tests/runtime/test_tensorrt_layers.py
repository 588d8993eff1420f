"""Convolutions in int8, by what TensorRT's inspector says."""

import json

import pytest

from edgedistill.runtime.backends.tensorrt_layers import convolutions_of


def layer(name, kind, taken, **more):
    inputs = [{"Name": "int8 in its name", "Dimensions": [1, 3, 8, 8], "Format/Datatype": taken}]
    return {"Name": name, "LayerType": kind, "Inputs": inputs, "Outputs": [], **more}


def test_a_convolution_is_in_int8_where_its_data_are():
    told = json.dumps(
        {
            "Layers": [
                layer("Reformatting CopyNode for Conv_0", "Reformat", "Row major linear FP32"),
                layer("stem", "CaskConvolution", "Row major linear FP32", ParameterType="Convolution"),
                layer("a + relu", "CaskConvolution", "Thirty-two wide channel vectorized row major Int8 format"),
                layer("b + pool", "CaskConvActPool", "Row major Int8 format"),
                layer("c", "fusedPointwiseNode", "Row major Int8 format"),
                layer("d", "Convolution", "Channel major FP16 format where channel % 8 == 0"),
            ],
            "Bindings": ["image"],
        }
    )
    expected = [("stem", "float"), ("a + relu", "int8"), ("b + pool", "int8"), ("d", "float")]
    assert convolutions_of(told) == expected


@pytest.mark.parametrize(
    "told",
    [
        '{"Layers": ["Conv_0 + Relu_1", "pool"], "Bindings": []}',  # names alone
        '{"Layers": [{"Name": "x", "LayerType": "CaskConvolution"}]}',
        '{"Layers": [{"Name": 1}]}',
        '{"Layers": []}',
        "null",
        "",
    ],
)
def test_an_engine_that_does_not_tell_is_not_counted(told):
    assert convolutions_of(told) is None
