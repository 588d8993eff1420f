"""Runs a linear function of the mean pixel with numpy alone. Also its precision."""

import io
from types import ModuleType

import numpy as np

from edgedistill.runtime.backends.base import BACKENDS, Backend
from edgedistill.runtime.precisions import Precision, register_precision
from edgedistill.runtime.tensors import TensorSpec

register_precision(
    Precision(
        name="half_weights",
        claim="float32 arithmetic on weights stored in float16, 11 significant bits",
        proof="numeric",
        share=5e-3,
        derivation="each weight is off by at most 2**-11 of itself; three of them and a bias make a logit",
    )
)


@BACKENDS.register("toy")
class ToyBackend(Backend):
    """Opens the .npz files that the conversion `toy.linear` writes."""

    extra = "toy"
    distributions = ("edgedistill-toy",)
    devices = ("cpu",)
    suffixes = (".npz",)

    @classmethod
    def library(cls) -> ModuleType:
        return np

    def _load(self) -> None:
        with np.load(io.BytesIO(self.model.files[0].read()), allow_pickle=False) as stored:
            self._weights, self._bias = (stored[name].astype(np.float32) for name in ("weights", "bias"))
            height, width = map(int, stored["size"])
        scores = ("batch", len(self._bias))
        self.inputs = (TensorSpec(name="image", dtype="uint8", shape=("batch", height, width, 3)),)
        self.outputs = tuple(
            TensorSpec(name=name, dtype="float32", shape=scores) for name in ("logits", "probabilities")
        )
        self.effective = {"library": f"numpy {np.__version__}", "device": "cpu", "precision": "half_weights"}

    def _run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        logits = feeds["image"].mean(axis=(1, 2), dtype=np.float32) @ self._weights + self._bias
        outputs = {"logits": logits, "probabilities": 1 / (1 + np.exp(-logits))}
        return {name: outputs[name] for name in self._wanted()}
