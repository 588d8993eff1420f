"""The network that the device pays for."""

import copy
from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def reparameterize(model: Model) -> Model:
    """A copy in its deploy form: parallel branches summed into one convolution, training-only branches gone.

    Every submodule with a `reparameterize()` method (RepVGG, MobileOne, RepViT, ... in timm and in their authors' code)
    is asked to replace itself; a model with `detach_branches()` drops the heads that only training sees.

    Args:
        model: left as it is.

    Returns:
        the copy, in eval mode and without gradients; its outputs equal the model's in eval mode but for rounding.
    """
    deployed = copy.deepcopy(model).eval().requires_grad_(False)
    if callable(detach := getattr(deployed, "detach_branches", None)):
        detach()
    # A list first: reparameterize() deletes submodules of what is being walked.
    for module in list(deployed.modules()):
        if callable(fuse := getattr(module, "reparameterize", None)):
            fuse()
    # What reparameterize() created is in training mode and wants gradients again.
    return deployed.eval().requires_grad_(False)
