"""Word vectors of the classes, from a local file."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...runtime.errors import ConfigError


def read_class_embeddings(path: str | Path, num_classes: int) -> Tensor:
    """float32 (C, D') from a .npy file, one row for each class in the order of the data's classes.

    Raises:
        ConfigError: no such file, or not a finite floating-point matrix of C rows.
    """
    try:
        vectors = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file of class embeddings.") from None
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path}: cannot be read as an array ({error}). Write it with numpy.save.") from None
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise ConfigError(f"{path}: class embeddings are one matrix of floating-point numbers, a row for each class.")
    if len(vectors) != num_classes:
        raise ConfigError(
            f"{path}: has {len(vectors)} rows for {num_classes} classes: one row for each class is needed."
        )
    if not np.isfinite(vectors).all():
        raise ConfigError(f"{path}: holds numbers that are not finite. Give every class a vector.")
    return torch.from_numpy(vectors.astype(np.float32))
