"""Runs a given ONNX graph by onnxruntime's CPU provider, and checks that it gives what is read of it."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...runtime.errors import ConfigError
from ...runtime.metrics.logistic import sigmoid
from ...runtime.preprocess import Preprocessing, normalize
from ..child import run_in_child
from ..errors import ExportError, one_line
from ..probes import generated_images
from .base import NetworkCard
from .onnx_graph import GivenGraph, Layout, read_graph
from .onnx_wrapping import free_batch

_JUDGED = 8  # images
_CLOSE = 1e-4  # of the logits' spread: onnxruntime adds in another order for another batch


class GivenRun:
    """A loaded graph.

    Args:
        model: an onnx.ModelProto, or the file itself with what lies beside it.
        where: the file, for messages.
        layout: in which type and order of axes it takes images.
        preprocessing: normalises them where it takes float32.
        batch: how many it takes at a time.

    Raises:
        ExportError: onnxruntime refuses the graph.
    """

    def __init__(self, model: Any, where: str, layout: Layout, preprocessing: Preprocessing, batch: int) -> None:
        import onnxruntime

        self._where, self._layout, self._preprocessing, self._batch = where, layout, preprocessing, batch
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4  # what goes wrong comes as an exception
        try:
            source = str(model) if isinstance(model, Path) else model.SerializeToString()
            self._session = onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exception types are not exported for catching
            raise ExportError(f"{where}: onnxruntime refuses the graph: {one_line(error)}") from error

    def scores(self, images: np.ndarray, output: str) -> np.ndarray:
        """What the graph gives for N resized images uint8 (N, H, W, 3); the last batch is filled up with the first.

        Raises:
            ExportError: it does not run.
        """
        name = self._session.get_inputs()[0].name
        parts = []
        try:
            for at in range(0, len(images), self._batch):
                rows = np.arange(at, at + self._batch) % len(images)
                parts.append(self._session.run([output], {name: self._fed(images[rows])})[0])
        except Exception as error:
            raise ExportError(f"{self._where}: does not run with {self._batch} images: {one_line(error)}") from error
        return np.concatenate(parts)[: len(images)]

    def _fed(self, images: np.ndarray) -> np.ndarray:
        if self._layout == "uint8_nhwc":
            return images
        normalised = normalize(images, self._preprocessing)
        return normalised if self._layout == "float32_nchw" else normalised.transpose(0, 2, 3, 1)


def try_file(path: str, preprocessing: dict[str, Any], out: str) -> None:
    """In the child: what the file gives for generated images, as it is and as it is read, as the .npz `out`.

    Its `scores` (M, ...) are the file's own, `logits` (M, ...) what is read of it, and `together` the logits where the
    number of images is free and all of them are given at once; that one lacks where the graph cannot take them so.

    Raises:
        ExportError: onnxruntime refuses the graph.
    """
    import onnx

    images_as = msgspec.convert(preprocessing, Preprocessing)
    given = read_graph(onnx.load(path), path)
    images = generated_images(_JUDGED, images_as.size)
    how = path, given.layout, images_as
    batch = given.batch or 2
    found: dict[str, Any] = {
        "scores": GivenRun(Path(path), *how, batch).scores(images, given.given),
        "logits": GivenRun(given.model, *how, batch).scores(images, given.output),
    }
    with contextlib.suppress(ExportError):
        found["together"] = GivenRun(free_batch(given), *how, _JUDGED).scores(images, given.output)
    np.savez(out, **found)


def takes_any_batch(path: Path, given: GivenGraph, card: NetworkCard) -> bool:
    """Run the file as it is and compare it with what is read of it.

    It runs in a process of its own, which a file that crashes onnxruntime takes down in place of this one.

    Returns:
        whether a graph whose batch is free says of several images together what the file says of each batch.

    Raises:
        ConfigError: it gives more or fewer scores than there are classes.
        ExportError: it does not run, or gives probabilities by other means than a final sigmoid.
    """
    with tempfile.TemporaryDirectory(prefix="edgedistill-") as folder:
        out = Path(folder, "outputs.npz")
        run_in_child(try_file, path, card.preprocessing, out, what=f"{path}: cannot be run")
        with np.load(out, allow_pickle=False) as stored:
            found = dict(stored)
    scores, logits = found["scores"], found["logits"]
    if scores.ndim != 2:
        raise ExportError(f"{path}: its graph gives {scores.shape}: scores (N, C) are wanted.")
    if scores.shape[1] != len(card.classes):
        raise ConfigError(
            f"{path}: its graph gives {scores.shape[1]} scores, and {len(card.classes)} classes are named."
        )
    if not np.isfinite(logits).all():
        raise ExportError(f"{path}: its logits of generated images are not finite: its weights are damaged.")
    expected = sigmoid(logits) if given.had_sigmoid else logits
    if not np.allclose(scores, expected, rtol=1e-4, atol=1e-5):
        raise ExportError(f"{path}: what its graph gives is not the sigmoid of what it puts into it.")
    if not given.had_sigmoid and (scores >= 0).all() and (scores <= 1).all():
        raise ExportError(
            f"{path}: all its scores lie within 0 and 1, as probabilities do, and there is no final Sigmoid to take "
            "off: export the network up to its logits."
        )
    together = found.get("together")
    return together is not None and bool(np.abs(together - logits).max() <= _CLOSE * max(1.0, float(np.ptp(logits))))
