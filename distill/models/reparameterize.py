"""The network that the device pays for."""

import copy
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

from torch import nn

from ...runtime.errors import first_line

Model = TypeVar("Model", bound=nn.Module)

# What a module calls the method that brings it into its deploy form, in timm and in the authors' own code. `fuse()`
# returns the module that takes its place (RepViT, LeViT, SHViT, TinyViT, EfficientViT, ...); the others change it.
_METHODS = ("fuse", "reparameterize", "switch_to_deploy")


def reparameterize(model: Model) -> Model:
    """A copy in its deploy form: parallel branches and normalisations summed into one convolution or matrix.

    Every submodule that can bring itself into that form is asked to, as `timm.utils.reparameterize_model` does; here
    the network itself is asked too, what stands in two places is replaced in both, and a `fuse()` that wants arguments
    is none of these. A model with `detach_branches()` drops the heads that only training sees.

    Args:
        model: left as it is.

    Returns:
        the copy, in eval mode and without gradients; its outputs equal the model's in eval mode but for rounding. A
        submodule whose method fails stays as it was trained, and a warning names it.
    """
    _forget_biases(model)
    deployed = copy.deepcopy(model).eval().requires_grad_(False)
    if callable(detach := getattr(deployed, "detach_branches", None)):
        detach()
    deployed = cast("Model", _deployed(deployed, {}))
    # What the methods created is in training mode and wants gradients again.
    return deployed.eval().requires_grad_(False)


def _deployed(module: nn.Module, done: dict[nn.Module, nn.Module]) -> nn.Module:
    """The deploy form of `module` and of everything below it; `done` holds what was replaced by what."""
    if module in done:
        return done[module]
    done[module] = found = _fused(module)
    done[found] = found
    for name, child in list(found._modules.items()):  # named_children() leaves out what stands there twice
        if child is not None:
            setattr(found, name, _deployed(child, done))
    return found


def _fused(module: nn.Module) -> nn.Module:
    """What takes the module's place: itself, where it has no deploy form."""
    name = next((name for name in _METHODS if _takes_no_arguments(getattr(module, name, None))), None)
    if name is None:
        return module
    spare = copy.deepcopy(module)
    try:
        found = getattr(module, name)()
    except Exception as error:  # of somebody else's code
        warnings.warn(
            f"{type(module).__name__}.{name}() failed ({type(error).__name__}: {first_line(error)}): this part is "
            "exported as it was trained, which computes the same and costs more.",
            stacklevel=2,
        )
        return spare
    return found if isinstance(found, nn.Module) else module


def _takes_no_arguments(method: Callable[..., Any] | None) -> bool:
    if not callable(method):
        return False
    try:
        inspect.signature(method).bind()
    except (TypeError, ValueError):
        return False
    return True


def _forget_biases(model: nn.Module) -> None:
    """Empty timm's caches of attention biases: made with gradients, they cannot be copied."""
    for module in model.modules():
        if isinstance(cache := getattr(module, "attention_bias_cache", None), dict):
            cache.clear()
