"""A teacher's outputs on a batch of images, as the rows that are stored."""

import contextlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...runtime.errors import ConfigError, EdgedistillError
from ..cores import on_its_core
from ..models.output import ModelOutput
from .fields import FIELDS
from .layout import DTYPE


class TeacherRows:
    """Runs the teacher in eval mode, without gradients.

    Args:
        model: takes normalised images, has `normalize`, and returns a ModelOutput; moved to `device`.
        fields: names of what is kept.
        device: where it runs.
        dtype: of autocast, or None for float32.
    """

    def __init__(
        self, model: nn.Module, fields: tuple[str, ...], device: torch.device, dtype: torch.dtype | None
    ) -> None:
        self.model: Any = model.to(device).eval().requires_grad_(False)
        self.fields, self.device, self.dtype = fields, device, dtype

    def shapes(self, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """The shape of one row of each field, found by running a blank image of `size` (height, width).

        Raises:
            ConfigError: the teacher does not give a field.
        """
        found = self._outputs(torch.zeros(1, *size, 3, dtype=torch.uint8))
        lacking = [name for name in self.fields if name not in found]
        if lacking:
            raise ConfigError(
                f"teacher cache: the teacher gives no {lacking[0].replace('_', ' ')}, which the method reads: it has "
                "to be trained with them."
            )
        return {name: tuple(found[name].shape[1 if FIELDS[name].per == "image" else 2 :]) for name in self.fields}

    @on_its_core()
    def __call__(
        self, images: Tensor, positive: np.ndarray, decodable: np.ndarray, ids: list[str]
    ) -> dict[str, np.ndarray]:
        """The rows of each field, float16.

        Args:
            images: uint8 (B, H, W, 3) RGB.
            positive: bool (B, C), labels that are 1.
            decodable: bool (B,); the rows of other images become zeros.
            ids: B names for messages.

        Raises:
            EdgedistillError: an output is not finite or too large for fp16; names the image.
        """
        outputs, rows = self._outputs(images), {}
        mask = torch.from_numpy(positive).to(self.device)
        for name in self.fields:
            per_image = FIELDS[name].per == "image"
            values = (outputs[name] if per_image else outputs[name][mask]).float().cpu().numpy()
            image = np.arange(len(ids)) if per_image else positive.nonzero()[0]
            values[~decodable[image]] = 0.0
            with np.errstate(over="ignore"):
                rows[name] = values.astype(DTYPE)
            if not np.isfinite(rows[name]).all():
                first = int(np.argwhere(~np.isfinite(rows[name]))[0, 0])
                raise _refused(name, ids[image[first]], values[first], self.dtype)
        return rows

    def _outputs(self, images: Tensor) -> dict[str, Tensor]:
        autocast = contextlib.nullcontext() if self.dtype is None else torch.autocast(self.device.type, self.dtype)
        with torch.no_grad(), autocast:
            output: ModelOutput = self.model(self.model.normalize(images.to(self.device, non_blocking=True)))
        found = {name: getattr(output, name, None) for name in self.fields}
        return {name: value for name, value in found.items() if value is not None}


def _refused(name: str, image: str, values: np.ndarray, dtype: torch.dtype | None) -> EdgedistillError:
    name = name.replace("_", " ")
    if np.isfinite(values).all():
        return EdgedistillError(
            f"teacher cache: the teacher's {name} of {image} reach {np.abs(values).max():.3g}, and fp16 ends at "
            "65,504: set `teacher.cache: false`, without `teacher.per_image`, which runs the teacher in every step."
        )
    way_out = "is the checkpoint damaged?" if dtype is None else "set `precision: fp32`, or mend the checkpoint."
    return EdgedistillError(f"teacher cache: the teacher's {name} of {image} are not finite: {way_out}")
