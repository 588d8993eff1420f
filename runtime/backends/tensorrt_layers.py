"""What TensorRT's inspector tells of an engine's layers."""

import json


def convolutions_of(told: str) -> list[tuple[str, str]] | None:
    """(name, "int8" or "float") of each convolution: int8 where what it takes first, its data, is.

    Args:
        told: the engine's information as JSON.

    Returns:
        in the engine's order; None where it tells of no convolution, as when it was built to tell layers' names alone
        or has fused all of them into kernels of its own.
    """
    try:
        layers = json.loads(told)["Layers"]
        found = [
            (layer["Name"], "int8" if _is_int8(layer["Inputs"][0]) else "float")
            for layer in layers
            if isinstance(layer, dict) and _is_convolution(layer)
        ]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):  # another version's words
        return None
    return found or None


def _is_convolution(layer: dict[str, object]) -> bool:
    """By what the kernel computes ("ParameterType"), or what it is called: CaskConvolution, CaskConvActPool, ..."""
    kind = str(layer.get("LayerType", ""))
    return layer.get("ParameterType") == "Convolution" or ("Conv" in kind and "Reformat" not in kind)


def _is_int8(tensor: dict[str, object]) -> bool:
    """E.g. "Thirty-two wide channel vectorized row major Int8 format"."""
    return any("int8" in str(value).lower() for key, value in tensor.items() if key != "Name")
