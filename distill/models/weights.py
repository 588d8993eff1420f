"""Pretrained weights from a local file, without ever executing a pickle."""

import contextlib
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ...runtime.errors import CheckpointError, ConfigError, first_line
from .partial_weights import PretrainedFile, flattened, take_what_fits

# An auxiliary classifier of torchvision's GoogLeNet and Inception v3 learns beside the network and is no part of it.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
# torchvision's or timm's, whose parts are attributes that no type lists.
LibraryNetwork: TypeAlias = Any
# Of a recipe: "imagenet", "digits", a local path, a file of which a part may fit, or fresh weights.
Pretrained: TypeAlias = str | PretrainedFile | None
DIGITS = "digits"
"""What a recipe calls the weights that it trains on single digits first, see `experiment.pretraining`."""

_NAMED = 3

_may_download = ContextVar("may_download", default=True)


def may_fetch() -> bool:
    """Whether weights may be downloaded, or made first, see `no_downloads`."""
    return _may_download.get()


@contextlib.contextmanager
def no_downloads() -> Iterator[None]:
    """Within it "imagenet" and "digits" networks have fresh weights: what asks only how large and how fast they are."""
    token = _may_download.set(False)
    try:
        yield
    finally:
        _may_download.reset(token)


def read_weights(path: str | Path, *, nested: bool = False) -> dict[str, Tensor]:
    """A state dict from .safetensors, or from a torch file read with weights_only=True.

    Args:
        path: of the file.
        nested: take every tensor of a checkpoint that holds several state dicts, or other things beside them.

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
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path}: is no file of plain tensors (a pickled model runs code when it is opened, so it is never read): "
            "save `model.state_dict()`, best as .safetensors."
        ) from None
    except (RuntimeError, OSError, EOFError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as weights ({first_line(error)}). Save it as .safetensors."
        ) from None
    except Exception as error:  # safetensors raises its own type, which it does not export for catching
        raise CheckpointError(f"{path}: cannot be read as weights ({error}).") from None
    if isinstance(state, dict):
        state = flattened(state) if nested else state.get("state_dict", state.get("model", state))
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) and value.layout is torch.strided
        for key, value in state.items()
    ):
        raise CheckpointError(f"{path}: holds no plain state dict of tensors.")
    broken = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise CheckpointError(f"{path}: {broken[0]} holds NaN or infinite values: these weights are damaged.")
    return state if nested else {key.removeprefix("module."): value for key, value in state.items()}


def load_pretrained(
    model: Any, pretrained: str | PretrainedFile, *, classifier: tuple[str, ...], whole: bool = False
) -> None:
    """Load `pretrained` into a library's model; only keys below a `classifier` prefix may be absent or misshapen.

    A classifier that is one linear layer is kept as `model.pretrained_classifier`, for a head with as many classes: so
    a user's own fine-tuned network can teach as it is. With `whole` the model keeps its own classifier: it is loaded
    where all of it is in the file, and `model.classifier_is_pretrained` says so. Of a file that is `partial` what fits
    is loaded, and what lacks is told.

    Raises:
        CheckpointError: names the first keys that do not fit, or nothing of a partial file does.
    """
    own, file = model.state_dict(), pretrained
    if not isinstance(file, PretrainedFile):
        file = PretrainedFile(path=file)
    state = read_weights(file.path, nested=file.partial)
    if file.partial:
        state = take_what_fits(own, state, file, classifier)
    else:
        _require_fit(own, state, file.path, classifier)
    fitting = OrderedDict((key, value) for key, value in state.items() if not key.startswith(classifier))
    fitting._metadata = own._metadata  # type: ignore[attr-defined]  # MNASNet wants its version, which no file holds
    model.load_state_dict(fitting, strict=False)
    if whole:
        _load_classifier(model, state, classifier)
        return
    tail = {key: value for key, value in state.items() if key.startswith(classifier)}
    names = {key.rpartition(".")[2]: key for key in tail}
    if len(tail) == 2 and set(names) == {"weight", "bias"}:
        layer = names["weight"].rpartition(".")[0]
        if isinstance(model.get_submodule(layer), nn.Linear):
            found = _probe(model, layer, tail[names["weight"]], tail[names["bias"]])
            setattr(model, "pretrained_classifier", found)  # noqa: B010  a plain attribute, of no layer


def _require_fit(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], path: str, classifier: tuple[str, ...]
) -> None:
    """Raise CheckpointError, naming the first keys, where a file is not of this network."""

    def replaceable(key: str) -> bool:
        return key.startswith(classifier) or key.endswith("num_batches_tracked")

    wanted = {key: value for key, value in own.items() if key in state or not replaceable(key)}
    given = {key: value for key, value in state.items() if key in own or not key.startswith((*classifier, *AUXILIARY))}
    for key in own.keys() & given.keys():
        if key.startswith(classifier) and given[key].shape != own[key].shape:  # of other classes
            given[key] = own[key]
    if misfit := told_misfit(wanted, given):
        raise CheckpointError(
            f"{path}: {misfit}: these are weights of another model or width. To load what fits of them: `pretrained: "
            "{path: ..., partial: true}`."
        )


def told_misfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    """In what the tensors of a file are not those of a network, with the first keys; None where they fit."""
    both = [key for key in own if key in state]
    shapes = [
        f"{key} ({tuple(state[key].shape)} instead of {tuple(own[key].shape)})"
        for key in both
        if own[key].shape != state[key].shape
    ]
    found = {
        "lacks": [key for key in own if key not in state],
        "has other shapes for": shapes,
        "has unknown": [key for key in state if key not in own],
        # quantised, by a scale
        "has integers for": [
            key for key in both if own[key].is_floating_point() and not state[key].is_floating_point()
        ],
    }
    said = [
        f"{what} {', '.join(keys[:_NAMED])}{f' and {len(keys) - _NAMED} more' if len(keys) > _NAMED else ''}"
        for what, keys in found.items()
        if keys
    ]
    return "; ".join(said) or None


@torch.no_grad()
def _load_classifier(model: Any, state: dict[str, Tensor], classifier: tuple[str, ...]) -> None:
    wanted = {key: value for key, value in model.state_dict().items() if key.startswith(classifier)}
    held = {key: state[key] for key in wanted if key in state and state[key].shape == wanted[key].shape}
    lacking = [key for key in wanted if key not in held and not key.endswith("num_batches_tracked")]
    if not lacking:
        for key, value in model.state_dict().items():  # its parameters and buffers themselves
            if key in held:
                value.copy_(held[key])
    model.classifier_is_pretrained = not lacking


@dataclass(frozen=True)
class PretrainedClassifier:
    """The last layer of a weights file, and what the whole network says about two images.

    Attributes:
        weight: (C, F).
        bias: (C,).
        images: float32 (2, 3, H, W), normalised, of the network's own size.
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
    images = torch.randn(2, 3, *own_size(model), generator=torch.Generator().manual_seed(0))
    logits = model.eval()(images)
    model.train()
    return PretrainedClassifier(weight, bias, images, logits)


def own_size(model: nn.Module) -> tuple[int, int]:
    """(height, width) of the images that a library's network was made for, in pixels; some take no others."""
    built_for = getattr(getattr(model, "patch_embed", None), "img_size", None)  # `img_size=` of timm.create_model
    if built_for is not None:
        return tuple(built_for)
    config = getattr(model, "pretrained_cfg", None) or {}
    return tuple(config.get("input_size", (3, 224, 224))[1:])


def with_pretrained(
    create: Callable[[str | None], LibraryNetwork],
    pretrained: Pretrained,
    *,
    classifier: tuple[str, ...],
    whole: bool = False,
) -> LibraryNetwork:
    """Create a library's model with "imagenet" weights (its own download), a local file, or none.

    Args:
        create: given "imagenet" or None.
        pretrained: of a recipe.
        classifier: prefixes of the keys of the library's classifier.
        whole: the model keeps that classifier, see `load_pretrained`.

    Raises:
        CheckpointError: the library cannot fetch its weights; the message says to use a local file.
    """
    if pretrained != "imagenet":
        model = create(None)
        if pretrained is not None:
            load_pretrained(model, pretrained, classifier=classifier, whole=whole)
        return model
    if not may_fetch():
        return create(None)
    try:
        return create("imagenet")
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"pretrained: imagenet: the weights cannot be fetched here ({first_line(error)}). "
            "Give `pretrained:` a local .safetensors or .pth path instead."
        ) from error


def refuse_imagenet(pretrained: Pretrained) -> None:
    """For networks of 32 px images, which nobody trained on ImageNet.

    Raises:
        ConfigError: `pretrained` asks for "imagenet".
    """
    if pretrained == "imagenet":
        raise ConfigError(
            "pretrained: imagenet: the cifar_ networks have no ImageNet weights. Leave it out, or give a local "
            ".safetensors or .pth path."
        )
