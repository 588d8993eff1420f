"""In the toolchain's environment: a float32 .tflite file becomes int8 files."""

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .constants import shifted


def quantise(source: str, ranges: dict[str, list[float]], variants: list[dict[str, Any]]) -> dict[str, str]:
    """Write int8 files: weights with a scale for each output channel, activations with one.

    Args:
        source: the float32 .tflite file.
        ranges: smallest and largest value of each activation, by its name.
        variants: of each the file's `out`, and operators by the names of their results: `static`, computed in int8;
            `dynamic`, which take and give float32 and have int8 weights; and `shifts` of their biases, see `shifted`.

    Returns:
        versions by distribution.
    """
    from ai_edge_quantizer import qtyping, quantizer

    limits = {name: {"min": np.float32(low), "max": np.float32(high)} for name, (low, high) in ranges.items()}
    kind = qtyping.TFLOperationName.ALL_SUPPORTED
    for variant in variants:
        work = quantizer.Quantizer(shifted(source, variant["shifts"]) if variant["shifts"] else source)
        for name in variant["static"]:
            work.add_static_config(_exactly(name), kind, activation_num_bits=8, weight_num_bits=8)
        for name in variant["dynamic"]:
            work.add_dynamic_config(_exactly(name), kind, num_bits=8)
        made = work.quantize(limits, enable_progress_bar=False, enable_progress_report=False)
        Path(variant["out"]).write_bytes(made.quantized_model)
    return {"ai-edge-quantizer": metadata.version("ai-edge-quantizer")}


def _exactly(name: str) -> str:
    """For the quantiser, which knows an operator by its results' names, each followed by a semicolon."""
    return f"^{re.escape(name)};"
