"""Programs that score images, as networks that teach: ONNX graphs and functions."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ...runtime.files import sha256_of
from ...runtime.model_file import load_file
from ...runtime.preprocess import Preprocessing
from ..models import OutsideNetwork
from ..models.class_map import Counterparts, match_classes
from ..models.outside import Scale, run_outside


class Program(NamedTuple):
    """What scores images.

    Attributes:
        score: uint8 (B, H, W, 3) RGB -> scores (B, C').
        identity: what decides the scores.
        classes: C' names, where it says them.
        name: for messages.
    """

    score: Callable[[np.ndarray], Any]
    identity: str
    classes: Sequence[str] | None
    name: str


def open_graph(path: Path, preprocessing: Preprocessing, scale: Scale) -> Program:
    """An ONNX file, run by onnxruntime; `preprocessing` is that of a float input.

    Raises:
        BundleError: it cannot be loaded.
        ConfigError: it is no image classifier, or takes another size.
    """
    predictor = load_file(
        path,
        size=preprocessing.size,
        resize=preprocessing.resize,
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        std=preprocessing.std,
        gives=scale,
        backend="onnxruntime",
    )
    column = 0 if scale == "logits" else 1
    numbers = tuple(map(str, range(len(predictor.classes))))
    own = None if predictor.classes == numbers else predictor.classes
    return Program(lambda images: predictor.infer(images)[column], f"onnx {sha256_of(path)}", own, str(path))


def open_function(function: Callable[[np.ndarray], Any]) -> Program:
    """A function or a callable object, known by its name and its source text; `classes` is read from it."""
    named = inspect.unwrap(function)
    named = getattr(named, "func", named)  # of functools.partial
    named = named if hasattr(named, "__qualname__") else type(named)
    name = f"{named.__module__}.{named.__qualname__}"
    try:
        text = inspect.getsource(named)
    except (OSError, TypeError):  # typed into an interpreter, or compiled
        text = getattr(getattr(named, "__code__", None), "co_code", b"").hex()
    classes = getattr(function, "classes", None)
    return Program(torch.no_grad()(function), f"callable {name} {text}", classes, f"the teacher {name}")


def outside_network(
    program: Program,
    preprocessing: Preprocessing,
    scale: Scale,
    ours: Sequence[str],
    *,
    theirs: Sequence[str] | None = None,
    given: Counterparts | None = None,
) -> OutsideNetwork:
    """A program as a teacher of our classes; tried on a grey image of its size.

    Raises:
        ConfigError: its classes do not match.
        EdgedistillError: it fails, or gives no scores.
    """
    grey = np.full((1, *preprocessing.size, 3), 127, np.uint8)
    count = run_outside(program.score, grey, program.name).shape[1]
    classes = match_classes(ours, theirs or program.classes, count, given, program.name)
    return OutsideNetwork(program.score, classes, scale, f"{program.identity} {preprocessing}", program.name)
