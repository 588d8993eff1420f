"""Pretrained weights from a local file, without ever executing a pickle."""

import contextlib
import pickle
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ...runtime.errors import CheckpointError, ConfigError, first_line

# torchvision's or timm's, whose parts are attributes that no type lists.
LibraryNetwork: TypeAlias = Any

_may_download = ContextVar("may_download", default=True)


@contextlib.contextmanager
def no_downloads() -> Iterator[None]:
    """Within it "imagenet" networks have fresh weights: for what asks only how large and how fast a network is."""
    token = _may_download.set(False)
    try:
        yield
    finally:
        _may_download.reset(token)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """A state dict from .safetensors, or from a torch file read with weights_only=True.

    Raises:
        CheckpointError: missing, damaged, or not a plain dictionary of tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weights file.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as weights ({first_line(error)}). Save it as .safetensors."
        ) from None
    except Exception as error:  # safetensors raises its own type, which it does not export for catching
        raise CheckpointError(f"{path}: cannot be read as weights ({error}).") from None
    state = state.get("state_dict", state.get("model", state)) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: holds no plain state dict of tensors.")
    return {key.removeprefix("module."): value for key, value in state.items()}


def load_pretrained(model: nn.Module, pretrained: str | Path, *, classifier: tuple[str, ...]) -> None:
    """Load `pretrained` into a library's model; only keys below a `classifier` prefix may be absent or misshapen.

    A classifier that is one linear layer is kept as `model.pretrained_classifier`, for a head with as many classes: so
    a user's own fine-tuned network can teach as it is.

    Raises:
        CheckpointError: names the first keys that do not fit.
    """
    state = read_weights(pretrained)
    own = model.state_dict()

    def replaceable(key: str) -> bool:
        return key.startswith(classifier) or key.endswith("num_batches_tracked")

    missing = [key for key in own if key not in state and not replaceable(key)]
    misshapen = [
        key for key in own if key in state and own[key].shape != state[key].shape and not key.startswith(classifier)
    ]
    unknown = [key for key in state if key not in own and not key.startswith(classifier)]
    for label, keys in (("lacks", missing), ("has other shapes for", misshapen), ("has unknown", unknown)):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise CheckpointError(
                f"{pretrained}: {label} {', '.join(keys[:3])}{more}: these are weights of another model or width."
            )
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith(classifier)}, strict=False)
    tail = {key: value for key, value in state.items() if key.startswith(classifier)}
    names = {key.rpartition(".")[2]: key for key in tail}
    if len(tail) == 2 and set(names) == {"weight", "bias"}:
        layer = names["weight"].rpartition(".")[0]
        if isinstance(model.get_submodule(layer), nn.Linear):
            found = _probe(model, layer, tail[names["weight"]], tail[names["bias"]])
            setattr(model, "pretrained_classifier", found)  # noqa: B010  a plain attribute, of no layer


@dataclass(frozen=True)
class PretrainedClassifier:
    """The last layer of a weights file, and what the whole network says about two images.

    Attributes:
        weight: (C, F).
        bias: (C,).
        images: float32 (2, 3, 224, 224), normalised.
        logits: float32 (2, C), the library's own forward pass.
    """

    weight: Tensor
    bias: Tensor
    images: Tensor
    logits: Tensor


@torch.no_grad()
def _probe(model: nn.Module, layer: str, weight: Tensor, bias: Tensor) -> PretrainedClassifier:
    """Put the file's classifier in its place and run the library's network once."""
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": bias})
    model.set_submodule(layer, linear)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    logits = model.eval()(images)
    model.train()
    return PretrainedClassifier(weight, bias, images, logits)


def with_pretrained(
    create: Callable[[str | None], LibraryNetwork], pretrained: str | None, *, classifier: tuple[str, ...]
) -> LibraryNetwork:
    """Create a library's model with "imagenet" weights (its own download), a local file, or none.

    Raises:
        CheckpointError: the library cannot fetch its weights; the message says to use a local file.
    """
    if pretrained != "imagenet":
        model = create(None)
        if pretrained is not None:
            load_pretrained(model, pretrained, classifier=classifier)
        return model
    if not _may_download.get():
        return create(None)
    try:
        return create("imagenet")
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"pretrained: imagenet: the weights cannot be fetched here ({first_line(error)}). "
            "Give `pretrained:` a local .safetensors or .pth path instead."
        ) from error


def refuse_imagenet(pretrained: str | None) -> None:
    """For networks of 32 px images, which nobody trained on ImageNet.

    Raises:
        ConfigError: `pretrained` asks for "imagenet".
    """
    if pretrained == "imagenet":
        raise ConfigError(
            "pretrained: imagenet: the cifar_ networks have no ImageNet weights. Leave it out, or give a local "
            ".safetensors or .pth path."
        )
