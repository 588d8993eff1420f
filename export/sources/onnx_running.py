"""Runs a given ONNX graph by onnxruntime's CPU provider."""

from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.preprocess import Preprocessing, normalize
from ..errors import ExportError, one_line
from .onnx_graph import Layout


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
