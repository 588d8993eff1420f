"""A job whose parts are built, epoch by epoch."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from ..data.decoded import DecodedImages
from ..data.loader import Batch, EpochSampler
from ..data.on_device import DeviceLoader
from .groups import Freezing
from .optimize import choose_format
from .state import TrainState
from .step import Step
from .world import World


@dataclass(frozen=True)
class Prepared:
    """A job, ready to be run.

    Attributes:
        state: its moving parts.
        step: takes one optimiser step.
        sampler: the order; its `epoch` and `start` are to be set.
        loader: follows the sampler.
        pieces: batches of this process per step.
        freezing: of the network's parts.
        validation: what this process evaluates.
    """

    state: TrainState
    step: Step
    sampler: EpochSampler
    loader: "DataLoader[Batch] | DeviceLoader"
    pieces: int
    freezing: Freezing
    validation: DecodedImages

    def freeze(self) -> None:
        """Hold still what the settings freeze in the epoch that the state stands in, of a network in training mode."""
        if self.freezing.apply(self.state.epoch):
            self.step.network = share(self.state.trained, self.step.device, self.step.world)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return len(self.sampler) * self.step.settings.epochs

    def images(self) -> Iterator[Tensor]:
        """All images of this process in the epoch that was just trained, normalised, without labels or gradients."""
        self.sampler.epoch, self.sampler.start = self.state.epoch - 1, 0
        memory_format = choose_format(self.step.settings, self.step.device)
        for batch in self.loader:
            pixels = batch.images.to(self.step.device, non_blocking=True)
            yield self.state.model.normalize(pixels).contiguous(memory_format=memory_format)

    def steps(self) -> Iterator[list[Batch]]:
        """What is left of the epoch that the state stands in."""
        self.sampler.epoch, self.sampler.start = self.state.epoch, self.state.batch
        batches = iter(self.loader)
        while pieces := list(islice(batches, self.pieces)):
            yield pieces


def share(model: nn.Module, device: torch.device, world: World) -> nn.Module:
    """The network as several processes train it: gradients of what is not frozen now are averaged."""
    if world.size == 1:
        return model
    return DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)
