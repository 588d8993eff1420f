"""One network of a library: built with random weights, exported in fp32 and int8, and compared with itself."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgedistill import runtime
from edgedistill.distill.checkpoint import digest_weights
from edgedistill.distill.models import Classifier, build_model
from edgedistill.distill.models.size import count_parameters, require_size
from edgedistill.distill.models.weights import own_size
from edgedistill.export import export_bundle
from edgedistill.export.quantization.calibration import Calibration
from edgedistill.export.sources.base import make_card
from edgedistill.export.sources.pytorch import PyTorchSource
from edgedistill.runtime.bundle import Artifact, Bundle, Coverage
from edgedistill.runtime.datasets import UNKNOWN, Dataset
from edgedistill.runtime.errors import ConfigError, EdgedistillError
from edgedistill.runtime.preprocess import Preprocessing, normalize
from edgedistill.runtime.record import Record

CLASSES = tuple(f"class {number}" for number in range(20))
SMALL = (96, 96)
FLOAT = ("onnxruntime-cpu-fp32", "openvino-cpu-fp32")
INT8 = "onnxruntime-cpu-int8"
_NEARLY_NOTHING = 0.01
DETAIL = (3, 6, 12, 24, 48, 96)  # cells on a side
SPREAD = 3.0  # standard deviation of the logits over images, as of a trained network


class Outcome(Record):
    """What became of a target.

    Attributes:
        target: its name.
        status: as in the manifest.
        reason: why it is not "verified".
        max_abs_logit: the largest difference to PyTorch's logits, whose standard deviation over images is 3.
        coverage: of int8: which convolutions run in int8.
        snr_db: of int8, on images that calibrated nothing: the logits' variance over images to that of their error.
        details: what export recorded.
    """

    target: str
    status: str
    reason: str = ""
    max_abs_logit: float | None = None
    coverage: Coverage | None = None
    snr_db: float | None = None
    details: dict[str, str] = {}


class Trial(Record):
    """What became of a network.

    Attributes:
        name: `timm/<name>` or `torchvision/<name>`.
        size: (height, width) in pixels.
        parameters: how many.
        seconds: for all.
        snr_of_noise_db: the same ratio as an outcome's `snr_db` in PyTorch, where the images alone are off, by normal
            noise of 1 % of their range: how strongly these random weights amplify any error.
        outcomes: one for each target.
        refused: why there is none, in one line.
    """

    name: str
    size: tuple[int, int] | None = None
    parameters: int = 0
    seconds: float = 0.0
    snr_of_noise_db: float | None = None
    outcomes: tuple[Outcome, ...] = ()
    refused: str = ""


def try_network(name: str, *, images: int = 16) -> Trial:
    """Build, export and compare.

    Args:
        name: `timm/<name>` or `torchvision/<name>`.
        images: to calibrate on; as many others judge.
    """
    begun = time.perf_counter()
    try:
        model = build_model(name, len(CLASSES), head="library")
        size = _size(model, name)
        source = _source(model, name, size)
        judged = noise(images, size, seed=2)
        own = source.logits(judged)
        _require_differing(own, name)
        amplified = snr_db(source.logits(_off_by_one_percent(judged)), own)
        outcomes = _export(source, images, judged, own)
    except EdgedistillError as error:
        return Trial(name=name, seconds=round(time.perf_counter() - begun, 1), refused=str(error))
    return Trial(
        name=name,
        size=size,
        parameters=count_parameters(model),
        seconds=round(time.perf_counter() - begun, 1),
        snr_of_noise_db=amplified,
        outcomes=outcomes,
    )


def _size(model: Classifier, name: str) -> tuple[int, int]:
    """A small input, or the only one that the network takes."""
    try:
        require_size(model, SMALL, where="96 px", name=name)
    except ConfigError:
        own = own_size(getattr(model.backbone, "model", model.backbone))
        require_size(model, own, where="its own size", name=name)
        return own
    return SMALL


def _source(model: Classifier, name: str, size: tuple[int, int]) -> PyTorchSource:
    preprocessing = Preprocessing(size=size)
    settle(model, normalize(noise(24, size, seed=9), preprocessing))
    card = make_card(name=name, model=name, classes=CLASSES, preprocessing=preprocessing, sha256=digest_weights(model))
    return PyTorchSource(model.eval().requires_grad_(False), card)


@torch.no_grad()
def settle(model: Classifier, images: np.ndarray) -> None:
    """Random weights as a trained network has them: no branch is silent, every map of unit scale, logits that differ.

    BatchNorm statistics are those of the images; then they are shaken, so that a wrong folding shows, and scale and
    shift make up for it, so that what comes after is as before. What libraries begin at nearly nothing (the last scale
    of a residual branch) counts as the others.
    """
    torch.manual_seed(0)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        if norm.affine:
            small = not norm.weight.any()  # the last of a residual branch
            nn.init.uniform_(norm.weight, *((0.2, 0.6) if small else (0.5, 1.5)))
            nn.init.uniform_(norm.bias, 0.5, 1.5)  # above zero, or random layers amplify each other's errors
        norm.momentum = 1.0
    for path, value in model.named_parameters():
        if value.ndim <= 1 and not path.endswith("bias") and value.abs().max() < _NEARLY_NOTHING:
            nn.init.uniform_(value, 0.2, 0.6)
    fed = torch.from_numpy(images)
    model.train()(fed)
    for norm in norms:
        _shake(norm)
    last = [
        module
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and module.weight.shape[0] == len(CLASSES)
    ][-1]
    if not last.weight.any():  # as torchvision's ViT begins: all images alike
        nn.init.normal_(last.weight, std=0.02)
    for _ in range(2):  # the second time for heads that sum two classifiers
        last.weight *= SPREAD / max(1e-6, float(model.eval()(fed).logits.std(0).mean()))
    if last.bias is not None:
        last.bias -= model(fed).logits.mean(0)


def _shake(norm: Any) -> None:
    deviation = (norm.running_var + norm.eps).sqrt()
    moved = 0.3 * deviation * torch.randn_like(deviation)
    norm.running_mean += moved
    norm.running_var *= torch.empty_like(deviation).uniform_(0.5, 2.0)
    if norm.affine:
        norm.bias += norm.weight * moved / deviation
        norm.weight *= (norm.running_var + norm.eps).sqrt() / deviation


def _require_differing(logits: np.ndarray, name: str) -> None:
    """Of a network that says the same of all images nothing would be shown."""
    if not logits.std(0).all():
        raise EdgedistillError(f"{name}: gives the same logits for all images.")


def _off_by_one_percent(images: np.ndarray) -> np.ndarray:
    error = np.random.default_rng(3).normal(0, 2.55, images.shape)
    return np.clip(np.round(images + error), 0, 255).astype(np.uint8)


def snr_db(logits: np.ndarray, own: np.ndarray) -> float:
    """The variance over images of `own` logits (N, C), to that of the error of `logits`."""
    return 10 * float(np.log10(own.var(0).sum() / np.square(logits - own).mean(0).sum()))


def _export(source: PyTorchSource, images: int, judged: np.ndarray, own: np.ndarray) -> tuple[Outcome, ...]:
    size = source.card.preprocessing.size
    ranges, held_out = (_unlabelled(noise(images, size, seed)) for seed in range(2))
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_bundle(
            source,
            [*FLOAT, INT8],
            Path(folder) / "b",
            reference=(_unlabelled(judged), own),
            calibration=Calibration(ranges, held_out),
        )
        return tuple(_outcome(bundle, artifact, judged, own) for artifact in bundle.manifest.artifacts)


def noise(count: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Colour noise uint8 (count, H, W, 3) with detail of every size: random weights amplify what images lack."""
    rng, (height, width) = np.random.default_rng(seed), size
    sums = np.zeros((count, 3, height, width))
    for cells in DETAIL:
        for place in np.ndindex(count, 3):
            coarse = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
            sums[place] += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / np.sqrt(cells)
    return np.clip(128 + 60 * sums / sums.std(), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _unlabelled(images: np.ndarray) -> Dataset:
    names = tuple(str(row) for row in range(len(images)))
    return Dataset("noise", CLASSES, names, list(images), np.full((len(images), len(CLASSES)), UNKNOWN, np.int8))


def _outcome(bundle: Bundle, artifact: Artifact, images: np.ndarray, own: np.ndarray) -> Outcome:
    snr = None
    if artifact.name == INT8 and artifact.files:
        with runtime.load(bundle, precision="int8") as predictor:
            logits, _ = predictor.infer(images)
        snr = snr_db(logits, own)
    return Outcome(
        target=artifact.name,
        status=artifact.status,
        reason=artifact.reason,
        max_abs_logit=artifact.parity.max_abs_logit if artifact.parity else None,
        coverage=artifact.coverage,
        snr_db=snr,
        details=artifact.details,
    )
