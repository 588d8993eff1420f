"""The graph of a student that was trained in int8: its own rounding, as QuantizeLinear and DequantizeLinear.

What is traced is the network that training simulated, operation by operation, so that the two are one; nothing is
calibrated and no layer is put back into float.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...distill.models.folded import FoldedClassifier
from ...distill.models.reparameterize import reparameterize
from ...distill.models.rounding import (
    ActivationRounding,
    RoundedConv2d,
    RoundedLinear,
    SameLevels,
    bias_levels,
    weight_scales,
)


def quantised_model(trained: FoldedClassifier, ranges: Mapping[str, tuple[float, float]]) -> FoldedClassifier:
    """A copy whose rounding ONNX's exporter writes; in PyTorch it computes nothing of use.

    Args:
        trained: in int8.
        ranges: of its activations, from its card.
    """
    model = reparameterize(trained).round_to_int8(ranges)
    # All replacements are made before the first is put in place: they read the ranges of what they replace.
    found = {name: _WRITTEN[type(module)](module) for name, module in model.named_modules() if type(module) in _WRITTEN}
    for name, module in found.items():
        model.set_submodule(name, module)
    return model.eval()


class _Activation(nn.Module):
    """A pair of QuantizeLinear and DequantizeLinear."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, rounding: ActivationRounding) -> None:
        super().__init__()
        scale, zero_point = rounding.levels()
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", zero_point.to(torch.uint8))

    def forward(self, values: Tensor) -> Tensor:
        levels = _onnx("QuantizeLinear", values, (values, self.scale, self.zero_point), torch.uint8)
        return _onnx("DequantizeLinear", values, (levels, self.scale, self.zero_point))


class _Layer(nn.Module):
    """A convolution or linear layer whose weights are int8 and whose bias is int32."""

    weight: Tensor
    scales: Tensor
    zeros: Tensor
    bias: Tensor | None
    products: Tensor
    bias_zeros: Tensor

    def __init__(self, layer: Any) -> None:
        super().__init__()
        scales = weight_scales(layer.weight)
        shape = (-1, *(1 for _ in layer.weight.shape[1:]))
        levels = torch.round(layer.weight / scales.view(shape)).clamp(-127, 127)
        self.register_buffer("weight", levels.to(torch.int8))
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros_like(scales, dtype=torch.int8))
        products = layer.source[0].levels()[0] * scales
        bias = None if layer.bias is None else bias_levels(layer.bias, products).to(torch.int32)
        self.register_buffer("bias", bias)
        self.register_buffer("products", products)
        self.register_buffer("bias_zeros", torch.zeros_like(products, dtype=torch.int32))

    def constants(self) -> tuple[Tensor, Tensor | None]:
        weight = _onnx("DequantizeLinear", self.weight, (self.weight, self.scales, self.zeros), axis=0)
        if self.bias is None:
            return weight, None
        return weight, _onnx("DequantizeLinear", self.bias, (self.bias, self.products, self.bias_zeros), axis=0)


class _Convolution(_Layer):
    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer)
        self.settings: Any = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward(self, maps: Tensor) -> Tensor:
        weight, bias = self.constants()
        return F.conv2d(maps, weight, bias, *self.settings)


class _Linear(_Layer):
    def forward(self, vectors: Tensor) -> Tensor:
        return F.linear(vectors, *self.constants())


_WRITTEN: dict[type[nn.Module], Any] = {
    ActivationRounding: _Activation,
    SameLevels: lambda module: _Activation(module.source[0]),
    RoundedConv2d: _Convolution,
    RoundedLinear: _Linear,
}


def _onnx(
    operator: str, like: Tensor, inputs: Sequence[Tensor], dtype: torch.dtype = torch.float32, axis: int | None = None
) -> Tensor:
    """An ONNX operator whose output has the shape of `like`."""
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    return torch.onnx.ops.symbolic(operator, inputs, attributes, dtype=dtype, shape=like.shape)
