"""A predictor for a model file alone: what a bundle's manifest would say comes from its graph and from the caller."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from .backends.base import Backend
from .bundle.loose import open_source
from .bundle.records import Artifact, InputKind
from .bundle.selection import open_artifact
from .datasets.reading import class_list
from .errors import BundleError, ConfigError
from .metrics.logistic import sigmoid
from .precisions import precision_of
from .predictor import Predictor
from .preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from .targets import check_threads
from .tensors import BatchRange, TensorSpec

MOST_PIXELS = 16384  # of a side
Gives = Literal["logits", "probabilities"]


class _LogitsPredictor(Predictor):
    """For a model whose one output is logits."""

    def _scores(self, outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        (logits,) = outputs.values()
        return logits, sigmoid(logits).astype(np.float32)


class _ProbabilitiesPredictor(Predictor):
    """For a model whose one output is probabilities."""

    def _scores(self, outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        (probabilities,) = outputs.values()
        if not ((probabilities >= 0) & (probabilities <= 1)).all():  # NaN is not
            raise BundleError(f"{self.artifact.name}: gives values outside 0 and 1: no probabilities. Are they logits?")
        with np.errstate(divide="ignore"):
            return np.log(probabilities) - np.log1p(-probabilities), probabilities


# What one output is: by its name where that is ours, else as the caller says.
_READERS: dict[str, type[Predictor]] = {"logits": _LogitsPredictor, "probabilities": _ProbabilitiesPredictor}


def load_file(
    path: str | Path,
    *,
    classes: Sequence[str] | str | Path | None = None,
    size: int | tuple[int, int] | None = None,
    resize: Literal["squash", "center_crop"] = "squash",
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
    gives: Gives = "logits",
    threshold: float = 0.5,
    backend: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    device: str | None = None,
) -> Predictor:
    """Load a model file that no bundle describes: one image in, one score per class out.

    The graph takes uint8 (N, H, W, 3) or float32 (N, 3, H, W); a float32 input is normalised by `mean` and `std`. It
    gives "logits" and "probabilities", or one output that is called so, or of which `gives` says what it is.

    Args:
        path: .onnx, .xml, or what another installed backend opens.
        classes: names in the order of the outputs, or a text file with one per line; their numbers when absent.
        size: (height, width), or the side of a square, in pixels; the graph's own when it is fixed there.
        resize: see `Preprocessing`.
        interpolation: see `Preprocessing`.
        mean: per RGB channel, in [0, 1] units; ImageNet's by default.
        std: per RGB channel, in [0, 1] units; ImageNet's by default.
        gives: what a single output is whose name does not say it.
        threshold: the probability from which a label is reported.
        backend: what opens the file; by its suffix when absent.
        precision: what to ask of a backend that chooses its arithmetic, e.g. "bf16" of openvino.
        threads: intra-op threads.
        device: the backend's device word.

    Raises:
        BundleError: no such file, or the library cannot load it.
        ConfigError: the graph is no image classifier, or what is given contradicts it or has no sense.
        DataError: the class file is faulty.
    """
    check_threads(threads)
    if precision is not None:
        precision_of(precision)
    _check_numbers(size, mean, std, threshold)
    opened = open_source(path, backend=backend, precision=precision)
    loaded = open_artifact(opened, opened.manifest.artifacts[0], threads=threads, device=device)
    try:
        kind, own_size = _input_kind(path, loaded)
        predictor, count = _output_kind(path, loaded, gives)
        preprocessing = Preprocessing(
            size=_size(path, own_size, size), resize=resize, interpolation=interpolation, mean=mean, std=std
        )
        names = _names(path, classes, count)
    except BaseException:
        loaded.close()
        raise
    manifest = msgspec.structs.replace(
        opened.manifest,
        classes=names,
        preprocessing=preprocessing,
        input=kind,
        inputs=loaded.inputs,
        outputs=loaded.outputs,
        thresholds=(threshold,) * count,
    )
    return predictor(manifest, _with_batch(opened.manifest.artifacts[0], loaded.inputs[0].shape[0]), loaded)


def _check_numbers(
    size: int | tuple[int, int] | None, mean: Sequence[float], std: Sequence[float], threshold: float
) -> None:
    sides = () if size is None else size if isinstance(size, tuple | list) else (size,)
    if not all(1 <= side <= MOST_PIXELS for side in sides):
        raise ConfigError(f"size {size}: each side needs 1 to {MOST_PIXELS} pixels.")
    if not all(map(math.isfinite, mean)):
        raise ConfigError(f"mean {mean}: needs finite numbers.")
    if not all(math.isfinite(value) and value > 0 for value in std):
        raise ConfigError(f"std {std}: needs finite numbers above 0.")
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold {threshold}: needs a probability from 0 to 1.")


def _size(path: str | Path, own: tuple[int, int] | None, given: int | tuple[int, int] | None) -> tuple[int, int]:
    wanted = (given, given) if isinstance(given, int) else given
    if own is not None and wanted not in (None, own):
        raise ConfigError(f"{path}: its graph takes {own[0]}x{own[1]} pixels, not the size {given}.")
    size = own or wanted
    if size is None:
        raise ConfigError(f"{path}: its graph takes any size: say which, e.g. --size 224.")
    return size


def _names(path: str | Path, classes: Sequence[str] | str | Path | None, count: int) -> tuple[str, ...]:
    named = class_list(str(classes) if isinstance(classes, Path) else classes, Path())
    if named is not None and len(named) != count:
        raise ConfigError(f"{path}: its graph gives {count} scores, but there are {len(named)} class names.")
    return named or tuple(map(str, range(count)))


def _with_batch(artifact: Artifact, batch: int | str) -> Artifact:
    """The artifact with the batch sizes that its graph takes: one, where it is fixed there."""
    ranged = BatchRange(min=batch, typical=batch, max=batch) if isinstance(batch, int) else BatchRange()
    return msgspec.structs.replace(artifact, target=msgspec.structs.replace(artifact.target, batch=ranged))


def _input_kind(path: str | Path, loaded: Backend) -> tuple[InputKind, tuple[int, int] | None]:
    """What the graph takes, and its size where that is fixed."""
    if len(loaded.inputs) == 1 and len(loaded.inputs[0].shape) == 4:
        spec = loaded.inputs[0]
        if spec.dtype == "uint8" and spec.shape[3] == 3:
            return "uint8_nhwc", _fixed(spec.shape[1:3])
        if spec.dtype == "float32" and spec.shape[1] == 3:
            return "float32_nchw", _fixed(spec.shape[2:4])
    raise ConfigError(
        f"{path}: its graph takes {_listed(loaded.inputs)}; an image classifier takes uint8 (N, H, W, 3) or float32 "
        "(N, 3, H, W)."
    )


def _fixed(sides: tuple[int | str, ...]) -> tuple[int, int] | None:
    height, width = sides
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _output_kind(path: str | Path, loaded: Backend, gives: Gives) -> tuple[type[Predictor], int]:
    """How scores are read off the graph's outputs, and how many classes there are."""
    outputs = {spec.name: spec for spec in loaded.outputs if spec.dtype == "float32" and len(spec.shape) == 2}
    if {"logits", "probabilities"} <= set(outputs):
        count, chosen = outputs["logits"].shape[1], Predictor
    elif len(loaded.outputs) == 1 and outputs:
        (spec,) = outputs.values()
        what = spec.name if spec.name in _READERS else gives
        count, chosen = spec.shape[1], _READERS[what]
    else:
        raise ConfigError(
            f"{path}: its graph gives {_listed(loaded.outputs)}; a classifier gives one float32 (N, C), or `logits` "
            "and `probabilities`."
        )
    if not isinstance(count, int):
        raise ConfigError(f"{path}: its graph does not say how many scores it gives ({_listed(loaded.outputs)}).")
    return chosen, count


def _listed(specs: tuple[TensorSpec, ...]) -> str:
    return "; ".join(map(str, specs)) or "nothing"
