"""What PyTorch says about memory, determinism and compilation, in a line that names the way out."""

import contextlib
from collections.abc import Iterator

import torch

from ...runtime.errors import EdgedistillError, MissingDependencyError, first_line


@contextlib.contextmanager
def explained(title: str) -> Iterator[None]:
    """Turn the faults of PyTorch that a user can act on into EdgedistillErrors; others pass."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EdgedistillError(
            f"{title}: the GPU's memory is too small ({first_line(error)}). Lower `batch_size`, or set `accumulate` to "
            "compute each step in that many pieces."
        ) from error
    except RuntimeError as error:
        if "deterministic" in str(error):
            raise EdgedistillError(
                f"{title}: `deterministic: true` cannot be kept: {first_line(error)}. Change the model, or set it to "
                "false."
            ) from error
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            cause = getattr(error, "inner_exception", error)
            raise MissingDependencyError(
                f"{title}: `compile: true` failed ({type(cause).__name__}: {first_line(cause)}). It needs a C++ "
                "compiler, and Triton on a GPU; set it to false to train without."
            ) from error
        raise
