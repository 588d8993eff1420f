"""A student that continues its teacher's weights: `student.start: teacher`."""

import copy

from ..models import Classifier
from ..recipe.start import refusal

_TRAINING_ONLY = "branches."


def continue_from(model: Classifier, start: Classifier, where: str) -> None:
    """Give a network the weights of another, those of branches that both have included.

    Raises:
        ConfigError: they are not the same network.
    """
    own, given = model.state_dict(), start.state_dict()
    shared = {name for name in own if name in given and own[name].shape == given[name].shape}
    differing = sorted(
        name for name in own.keys() | given.keys() if name not in shared and not name.startswith(_TRAINING_ONLY)
    )
    if differing:
        raise refusal(where, f"{differing[0]} and {len(differing) - 1} more weights differ")
    model.load_state_dict({**own, **{name: given[name] for name in shared}})


def sharing_weights(model: Classifier) -> Classifier:
    """A copy of the modules around the same weights: what is detached from one of the two stays in the other."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})
