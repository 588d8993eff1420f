"""Named conversions, one function each: `onnx.fp32`, `onnx.fp16`. Builders ask for them by name."""

from .base import CONVERSIONS, Conversion, Converted, Ingredients

__all__ = ["CONVERSIONS", "Conversion", "Converted", "Ingredients"]
