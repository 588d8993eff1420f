"""Optimiser, schedule, precision and device: what a step needs besides the loss."""

import math

import msgspec
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from ...runtime.errors import ConfigError
from .groups import parameter_groups
from .settings import TrainSettings

_SAFE_CHANNELS = 16
_WORTH_PIXELS = 96  # of a side: channels last was faster at 128 and 224


def choose_device() -> torch.device:
    """The accelerator at hand, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_dtype(settings: TrainSettings, model: nn.Module, device: torch.device) -> torch.dtype | None:
    """The autocast dtype, or None for float32 (see TrainSettings.precision)."""
    if settings.precision != "auto":
        return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[settings.precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type != "cpu" or not _cpu_computes_bf16():
        return None
    # Depthwise convolutions have no fast bf16 kernel on CPUs: such networks train slower in bf16 than in fp32.
    return None if _is_depthwise(model) else torch.bfloat16


def settle_format(
    settings: TrainSettings, model: nn.Module, device: torch.device, size: tuple[int, int]
) -> TrainSettings:
    """The settings with the memory format that suits a student, where they leave it open.

    Channels last on a GPU; on a CPU for networks of depthwise convolutions, which it makes faster in float32, without a
    layer that crashes in it, and for images that are large enough for it to pay.

    Args:
        settings: hyper-parameters.
        model: to be trained.
        device: where.
        size: (height, width) of its images.
    """
    if settings.channels_last is not None or device.type != "cpu":
        return settings
    pays = _is_depthwise(model) and min(size) >= _WORTH_PIXELS and choose_dtype(settings, model, device) is None
    return msgspec.structs.replace(settings, channels_last=pays and _crashing_layer(model) is None)


def choose_format(settings: TrainSettings, device: torch.device) -> torch.memory_format:
    """Channels last on a GPU, or as the settings say."""
    channels_last = device.type == "cuda" if settings.channels_last is None else settings.channels_last
    return torch.channels_last if channels_last else torch.contiguous_format


def refuse_crash(model: nn.Module, settings: TrainSettings, device: torch.device) -> None:
    """Raise ConfigError for a memory format in which PyTorch's backward pass writes beyond its memory.

    Seen with PyTorch 2.14.1 on x86, in channels last: 1x1 convolutions of stride 2 on 2 to 15 channels, as RepVGG's
    first block has. 1 channel and 16 or more did not crash, nor did any in the usual format.
    """
    if device.type != "cpu" or choose_format(settings, device) is not torch.channels_last:
        return
    name = _crashing_layer(model)
    if name is not None:
        layer = model.get_submodule(name)
        raise ConfigError(
            f"`channels_last: true`: on a CPU PyTorch crashes in the backward pass of a 1x1 convolution with stride on "
            f"few channels ({name} has {layer.in_channels}). Leave the key out."
        )


def build_optimizer(
    model: nn.Module, settings: TrainSettings, device: torch.device, method_part: nn.Module | None = None
) -> Optimizer:
    """Weight decay on matrices and kernels only; parts that learn alike are one group."""
    alike: dict[tuple[bool, float, float], list[nn.Parameter]] = {}
    for group in parameter_groups(model, method_part, settings):
        key = (group.parameters[0].ndim <= 1, group.lr_scale, group.weight_decay)
        alike.setdefault(key, []).extend(group.parameters)
    place = {id(parameter): number for number, parameter in enumerate(model.parameters())}
    for parameters in alike.values():  # last.ckpt knows them by their order
        parameters.sort(key=lambda parameter: place.get(id(parameter), len(place)))
    groups = [
        {"params": parameters, "weight_decay": decay, "lr": settings.lr * scale, "lr_scale": scale}
        for (_, scale, decay), parameters in alike.items()
    ]
    fused = device.type in ("cuda", "cpu")
    if settings.optimizer == "sgd":
        optimizer = SGD(groups, lr=settings.lr, momentum=0.9, nesterov=True, fused=fused)
        for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
            # PyTorch's fused SGD would make it without values, which stay where the first step is not taken, and wants
            # the first gradients of a group all at once, which parts that are frozen at first do not give.
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer
    kind = Adam if settings.optimizer == "adam" else AdamW
    return kind(groups, lr=settings.lr, fused=fused)


def build_schedule(optimizer: Optimizer, settings: TrainSettings, total_steps: int) -> LRScheduler:
    """A per-step schedule; one that falls ends at (nearly) zero, after `schedule_epochs` where these are more."""
    if settings.schedule_epochs is not None:
        total_steps = total_steps // settings.epochs * settings.schedule_epochs
    if settings.schedule == "onecycle":
        steps = total_steps + 1  # the scheduler counts its own construction as a step
        peaks = [group["lr"] for group in optimizer.param_groups]
        rising = max(settings.warmup * steps, 1.5)  # it divides by the rising steps less one
        return OneCycleLR(optimizer, peaks, total_steps=steps, pct_start=min(rising / steps, 0.9))
    rising = max(1, round(settings.warmup * total_steps)) if settings.warmup else 0

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        if settings.schedule == "constant":
            return 1.0
        return 0.5 * (1.0 + math.cos(math.pi * (step - rising) / max(1, total_steps - rising)))

    return LambdaLR(optimizer, factor)


def _is_depthwise(model: nn.Module) -> bool:
    return any(isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1 for m in model.modules())


def _crashing_layer(model: nn.Module) -> str | None:
    """The name of the first layer that `refuse_crash` is about."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride != (1, 1):
            channels = module.in_channels // module.groups
            if channels > 1 and module.in_channels < _SAFE_CHANNELS:
                return name
    return None


def _cpu_computes_bf16() -> bool:
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())
