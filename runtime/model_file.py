"""A predictor for a model file alone: what a bundle's manifest would say comes from its graph and from the caller."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from .backends.base import Backend
from .bundle.file_facts import check_facts, decode_facts
from .bundle.loose import open_source
from .bundle.records import Artifact, InputKind
from .bundle.selection import open_artifact
from .datasets.reading import class_list
from .errors import BundleError, ConfigError
from .metrics.logistic import sigmoid
from .precisions import precision_of
from .predictor import Predictor
from .predictor.loading import warmed_up
from .preprocess import Decode, Preprocessing, loader
from .targets import check_threads
from .tensors import BatchRange, TensorSpec, by_their_names

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
    resize: Literal["squash", "center_crop"] | None = None,
    interpolation: Literal["bilinear", "bicubic"] | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    gives: Gives = "logits",
    threshold: float | None = None,
    backend: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    device: str | None = None,
    decode: Decode = "full",
    warm_up: int = 0,
) -> Predictor:
    """Load a model file that no bundle describes: one image in, one score per class out.

    The graph takes uint8 (N, H, W, 3) or float32 (N, 3, H, W); a float32 input is normalised by `mean` and `std`. It
    gives "logits" and "probabilities", or one output that is called so, or of which `gives` says what it is. What is
    not given here is taken from the file's own metadata, which export writes, and where it does not say, the default.

    Args:
        path: .onnx, .xml, or what another installed backend opens.
        classes: names in the order of the outputs, or a text file with one per line; default: their numbers.
        size: (height, width), or the side of a square, in pixels; the graph's own when it is fixed there.
        resize: see `Preprocessing`; default: "squash".
        interpolation: see `Preprocessing`; default: "bilinear".
        mean: per RGB channel, in [0, 1] units; default: ImageNet's.
        std: per RGB channel, in [0, 1] units; default: ImageNet's.
        gives: what a single output is whose name does not say it.
        threshold: the probability from which a label is reported, of every class; default: 0.5.
        backend: what opens the file; by its suffix when absent.
        precision: what to ask of a backend that chooses its arithmetic, e.g. "bf16" of openvino.
        threads: intra-op threads.
        device: the backend's device word.
        decode: see `load`.
        warm_up: see `load`.

    Raises:
        BundleError: no such file, the library cannot load it, or its metadata is damaged or contradicts its graph.
        ConfigError: the graph is no image classifier, or what is given contradicts it or has no sense.
        DataError: the class file is faulty.
    """
    check_threads(threads)
    loader(decode)
    if precision is not None:
        precision_of(precision)
    given = {"resize": resize, "interpolation": interpolation, "mean": mean, "std": std}
    given = {name: value for name, value in given.items() if value is not None}
    _check_numbers(size, mean, std, threshold)
    opened = open_source(path, backend=backend, precision=precision)
    loaded = open_artifact(opened, opened.manifest.artifacts[0], threads=threads, device=device)
    try:
        facts = decode_facts(loaded.metadata, str(path))
        kind, own_size = _input_kind(path, loaded)
        predictor, count = _output_kind(path, loaded, gives)
        check_facts(facts, str(path), input=kind, size=own_size, scores=count)
        own = facts.preprocessing
        chosen_size = _size(path, own_size, size or (own.size if own else None))
        preprocessing = msgspec.structs.replace(own or Preprocessing(size=chosen_size), size=chosen_size, **given)
        names = _names(path, classes, count) or facts.classes or tuple(map(str, range(count)))
        thresholds = facts.thresholds if threshold is None else (threshold,) * count
    except BaseException:
        loaded.close()
        raise
    manifest = msgspec.structs.replace(
        opened.manifest,
        classes=names,
        preprocessing=preprocessing,
        input=kind,
        inputs=loaded.inputs,
        outputs=by_their_names(loaded.outputs) if facts.classes else loaded.outputs,
        thresholds=thresholds or (0.5,) * count,
    )
    artifact = _with_batch(opened.manifest.artifacts[0], loaded.inputs[0].shape[0])
    return warmed_up(predictor(manifest, artifact, loaded, decode=decode), warm_up)


def _check_numbers(
    size: int | tuple[int, int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    threshold: float | None,
) -> None:
    sides = () if size is None else size if isinstance(size, tuple | list) else (size,)
    if not all(1 <= side <= MOST_PIXELS for side in sides):
        raise ConfigError(f"size {size}: each side needs 1 to {MOST_PIXELS} pixels.")
    if not all(map(math.isfinite, mean or ())):
        raise ConfigError(f"mean {mean}: needs finite numbers.")
    if not all(math.isfinite(value) and value > 0 for value in std or ()):
        raise ConfigError(f"std {std}: needs finite numbers above 0.")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(f"threshold {threshold}: needs a probability from 0 to 1.")


def _size(path: str | Path, own: tuple[int, int] | None, given: int | tuple[int, int] | None) -> tuple[int, int]:
    wanted = (given, given) if isinstance(given, int) else given
    if own is not None and wanted not in (None, own):
        raise ConfigError(f"{path}: its graph takes {own[0]}x{own[1]} pixels, not the size {given}.")
    size = own or wanted
    if size is None:
        raise ConfigError(f"{path}: its graph takes any size: say which, e.g. --size 224.")
    return size


def _names(path: str | Path, classes: Sequence[str] | str | Path | None, count: int) -> tuple[str, ...] | None:
    named = class_list(str(classes) if isinstance(classes, Path) else classes, Path())
    if named is not None and len(named) != count:
        raise ConfigError(f"{path}: its graph gives {count} scores, but there are {len(named)} class names.")
    return named


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
