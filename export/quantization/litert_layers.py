"""The layers of a .tflite file, in the form in which adaptive rounding and equalisation know layers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..litert.constants import DATA, kind_of, layers_of
from .int8_weights import Int8Weight
from .layer_inputs import Layer

# From the order of a weight's axes in the file to (O, I, ...).
AXES = {"CONV_2D": (0, 3, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2), "FULLY_CONNECTED": (0, 1)}


def read_layers(source: Path, weights: Mapping[str, Int8Weight]) -> list[Layer]:
    """The layers of a float file.

    Args:
        source: the file.
        weights: of layers that are in int8; others are left out.
    """
    from ai_edge_litert.tools import flatbuffer_utils as tools

    model = tools.read_model(str(source))
    tensors = model.subgraphs[0].tensors
    return [
        _layer(name, kind_of(model, operator), operator.builtinOptions, tensors[operator.inputs[DATA]], weights[name])
        for name, operator in layers_of(model).items()
        if name in weights
    ]


def _layer(name: str, kind: str, options: Any, takes: Any, weight: Int8Weight) -> Layer:
    axes = AXES[kind]
    inputs, *kernel = (weight.exact.shape[axis] for axis in axes[1:])
    found = Layer(name, takes.name.decode(), groups=1, weights=int(np.prod([inputs, *kernel])), axes=axes)
    if not kernel:
        return found
    from ai_edge_litert import schema_py_generated as schema

    strides = options.strideH, options.strideW
    dilations = options.dilationHFactor, options.dilationWFactor
    pads: tuple[int, ...] = (0, 0, 0, 0)
    if options.padding == schema.Padding.SAME:
        pads = _same(takes.shape[1:3], kernel, strides, dilations)
    return replace(
        found,
        groups=takes.shape[3] // inputs,
        kernel=tuple(kernel),
        strides=strides,
        dilations=dilations,
        pads=pads,
        channels_last=True,
    )


def _same(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, ...]:
    """Zeros at the beginnings of the axes, then at their ends: an output for each stride; an odd one is at the end."""
    totals = [
        max((-(-size // stride) - 1) * stride + dilation * (taps - 1) + 1 - size, 0)
        for size, taps, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    return (*(total // 2 for total in totals), *(total - total // 2 for total in totals))
