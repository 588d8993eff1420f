"""Any `nn.Module` that gives logits, as a network that can be taught or teach."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.errors import ConfigError, first_line
from ...runtime.preprocess import Preprocessing
from .classifier import Classifier
from .libraries import timm_as_it_is
from .logits import require_logits
from .spec import ModelSpec
from .whole import LibraryClassifier, LogitsAlone

PLAIN = "module/"  # begins the model's name in the card of a checkpoint that only its own class can load


class WithNamedMaps(nn.Module):
    """A network whose feature maps are what some of its submodules give.

    Args:
        model: maps normalised images (B, 3, H, W) to logits (B, C).
        names: of submodules, shallow to deep; each gives a map (B, F_i, H_i, W_i).
        channels: F of the last one.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], channels: int) -> None:
        super().__init__()
        self.model, self.names, self.channels = model, tuple(names), channels

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps."""
        return self.with_logits(images)[0]

    def with_logits(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps, and the logits (B, C)."""
        # Hooks for the length of one pass: a copy of the network (a moving average) would else write into this one.
        found: dict[str, Any] = {}
        hooks = [self.model.get_submodule(name).register_forward_hook(_keep_in(found, name)) for name in self.names]
        try:
            logits = self.model(images)
        finally:
            for hook in hooks:
                hook.remove()
        return [found[name] for name in self.names], logits

    def read_map(self, features: Tensor) -> Tensor:
        """Refused: what comes behind a submodule is known to the network alone."""
        raise ConfigError(f"what turns the map of {self.names[-1]!r} into logits is inside the network.")


def _keep_in(found: dict[str, Any], name: str) -> Any:
    def keep(module: nn.Module, arguments: Any, output: Any) -> None:
        found[name] = output

    return keep


def as_classifier(
    network: nn.Module,
    num_classes: int,
    preprocessing: Preprocessing,
    maps: str | Sequence[str] = (),
    who: str = "network",
) -> Classifier:
    """A network that takes normalised images (B, 3, H, W) and gives logits (B, C), in the form that training wants.

    The module itself is inside, not a copy: what is trained is the caller's.

    Args:
        network: any module; one of ours is returned as it is.
        num_classes: C.
        preprocessing: the network's own size and normalisation.
        maps: names of submodules, shallow to deep, that give its feature maps (B, F, H, W), for methods that read any.
            timm's networks show theirs without.
        who: for messages, "student" or "teacher".

    Raises:
        ConfigError: it does not give C logits, or a name is no submodule that gives a map.
    """
    if not isinstance(network, nn.Module):
        raise ConfigError(f"the {who} is {network!r:.60}: a network, a torch.nn.Module, is wanted.")
    if isinstance(network, Classifier):
        if network.num_classes != num_classes:
            raise ConfigError(f"the {who} has {network.num_classes} classes and the data {num_classes}.")
        return network
    names = [maps] if isinstance(maps, str) else list(maps)
    _require_submodules(network, names, who)
    probe = WithNamedMaps(network, names, 0)
    with torch.no_grad():
        found, logits = _tried(probe, torch.zeros(1, 3, *preprocessing.size), who)
    if not isinstance(logits, Tensor) or logits.shape != (1, num_classes):
        gives = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        way_out = "" if isinstance(logits, Tensor) else " Wrap it in a module that returns them alone."
        raise ConfigError(
            f"the {who} {type(network).__name__} gives {gives} for one image, and the data have {num_classes} classes: "
            f"it must give logits of shape (1, {num_classes}).{way_out}"
        )
    require_logits(
        lambda images: _tried(probe, images, who)[1], preprocessing.size, f"the {who} {type(network).__name__}"
    )
    for name, given in zip(names, found, strict=True):
        if not isinstance(given, Tensor) or given.ndim != 4:
            raise ConfigError(f"the {who}'s {name!r} gives no feature map of shape (images, channels, height, width).")
    if names:
        probe.channels = found[-1].shape[1]
        inside: nn.Module = probe
    else:
        inside = timm_as_it_is(network) or LogitsAlone(network)
    return LibraryClassifier(inside, num_classes, mean=preprocessing.mean, std=preprocessing.std)


def require_float32(network: nn.Module, who: str) -> None:
    """Raise ConfigError where a network that is to be taught or to teach has weights of another precision."""
    for name, value in network.named_parameters():
        if value.is_floating_point() and value.dtype != torch.float32:
            dtype = str(value.dtype).removeprefix("torch.")
            raise ConfigError(
                f"the {who}'s weights are {dtype} ({name}), and are wanted in float32: call `.float()` on it. What is "
                'computed in half precision says `precision="bf16"` or `"fp16"`.'
            )


def normalisation_of(network: nn.Module) -> dict[str, Any]:
    """`mean` and `std`, per RGB channel in [0, 1] units, that a network says are its own; empty where it says none."""
    if isinstance(network, Classifier):
        std = (1 / (255 * network.scale.double())).flatten()
        mean = network.shift.double().flatten().cpu() * std.cpu()
        return {
            "mean": tuple(round(value, 6) for value in mean.tolist()),
            "std": tuple(round(value, 6) for value in std.tolist()),
        }
    config = getattr(network, "pretrained_cfg", None) or {}
    return {key: tuple(config[key]) for key in ("mean", "std") if config.get(key)}


def spec_of(network: nn.Module) -> ModelSpec:
    """What a checkpoint's card says of a network that no name builds."""
    return ModelSpec(name=f"{PLAIN}{type(network).__module__}.{type(network).__qualname__}", head="library")


def _require_submodules(network: nn.Module, names: Sequence[str], who: str) -> None:
    known = dict(network.named_modules())
    for name in names:
        if not name or name not in known:
            outer = ", ".join(child for child, _ in network.named_children())
            raise ConfigError(f"the {who} {type(network).__name__} has no submodule {name!r}; its own are: {outer}.")


def _tried(probe: WithNamedMaps, images: Tensor, who: str) -> tuple[list[Any], Any]:
    """What it gives for normalised images, in evaluation mode; the modes are left as they were."""
    modes = {module: module.training for module in probe.modules()}
    first = next(probe.parameters(), torch.zeros(()))
    try:
        return probe.eval().with_logits(images.to(first.device, first.dtype))
    except Exception as error:  # a user's module may raise anything
        raise ConfigError(
            f"the {who} {type(probe.model).__name__} does not take an image of {images.shape[2]} x "
            f"{images.shape[3]} px ({type(error).__name__}: {first_line(error)})."
        ) from error
    finally:
        _restore(modes)


def _restore(modes: Mapping[nn.Module, bool]) -> None:
    for module, training in modes.items():
        module.training = training
