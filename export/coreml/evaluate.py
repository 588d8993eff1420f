"""In the toolchain's environment: what a saved .mlpackage computes, operator by operator, with PyTorch.

Core ML predicts on Apple's systems alone. What is evaluated here is the program in the file, with its weights, after
all of the converter's passes; not Core ML's own arithmetic. Each operator computes in float32 and rounds to the type
that the program gives its result. https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .library import coremltools
from .operators import OPERATORS

_TYPES = {"fp16": torch.float16, "fp32": torch.float32, "int32": torch.int32, "bool": torch.bool}


def evaluate(package: str, images: str, batches: list[list[int]], out: str) -> dict[str, str]:
    """Write the outputs of all batches, joined, as an .npz by name.

    Args:
        package: the .mlpackage.
        images: a .npy of what the graph takes, in the layout of the manifest.
        batches: which images make up each batch.
        out: of the .npz.

    Returns:
        the "runner" that computed them; or, of a program that has operators which are not evaluated here, and nothing
        is written, their names as "not_evaluated".
    """
    ct = coremltools()

    program, as_image = _load(package)
    unknown = {operation.op_type for operation in program.operations} - {"const", *OPERATORS}
    if unknown:
        return {"not_evaluated": ", ".join(sorted(unknown))}
    pixels = np.load(images)
    found = []
    with torch.inference_mode():
        for batch in batches:
            given = torch.from_numpy(pixels[batch]).float()
            # Core ML hands a picture to the program with its channels first.
            found.append(_run(program, given.permute(0, 3, 1, 2) if as_image else given))
    joined: dict[str, Any] = {name: np.concatenate([outputs[name] for outputs in found]) for name in found[0]}
    np.savez(out, **joined)
    versions = f"torch {torch.__version__}, coremltools {ct.__version__}"
    return {"runner": f"the package's program evaluated with {versions}"}


def _load(package: str) -> tuple[Any, bool]:
    """The program's main function, read from the saved file, and whether it takes pictures."""
    ct = coremltools()
    from coremltools.converters.mil.frontend.milproto.load import load

    spec = ct.utils.load_spec(package)
    weights = Path(package, "Data", "com.apple.CoreML", "weights")
    program = load(spec, spec.specificationVersion, file_weights_dir=str(weights))
    (main,) = program.functions.values()
    return main, spec.description.input[0].type.WhichOneof("Type") == "imageType"


def _run(function: Any, image: Tensor) -> dict[str, np.ndarray]:
    (name,) = function.inputs
    values: dict[str, Tensor] = {name: image}
    for operation in function.operations:
        if operation.op_type == "const":
            continue
        given = {key: _value(getattr(operation, key, None), values) for key in operation.input_spec.input_types}
        result = OPERATORS[operation.op_type](**{key: value for key, value in given.items() if value is not None})
        results = result if isinstance(result, tuple) else (result,)
        for variable, value in zip(operation.outputs, results, strict=True):
            values[variable.name] = value.to(_TYPES[_type_word(variable)])
    return {variable.name: values[variable.name].float().numpy() for variable in function.outputs}


def _type_word(variable: Any) -> str:
    from coremltools.converters.mil.mil import types

    return types.builtin_to_string(variable.dtype)


def _value(variable: Any, values: dict[str, Tensor]) -> Any:
    """An argument: tensors in float32, so that arithmetic is; constants of rank 0, strings and flags as they are."""
    if variable is None:
        return None
    if isinstance(variable, list | tuple):
        return [_value(entry, values) for entry in variable]
    if variable.name in values:
        found = values[variable.name]
        return found.float() if found.dtype == torch.float16 else found
    constant = variable.val
    if isinstance(constant, np.ndarray):
        tensor = torch.from_numpy(np.ascontiguousarray(constant))
        return tensor.float() if tensor.dtype == torch.float16 else tensor
    return constant.item() if isinstance(constant, np.generic) else constant
