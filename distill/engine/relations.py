"""Which of a method's terms relate images to each other, asked before the first step."""

import torch

from ...runtime.errors import ConfigError
from ..data.loader import Batch
from ..methods import Method, Term, Terms, TrainingContext
from .network import TrainedNetwork
from .teachers import Teacher


def relating_terms(method: Method, model: TrainedNetwork, teacher: Teacher | None, batch: Batch) -> frozenset[str]:
    """Names of the terms that relate images, of one call; weights and statistics stay, the model is in training mode.

    Args:
        method: the objective.
        model: to be trained, with what the method adds.
        teacher: or None.
        batch: of at least two images, whose pixels do not matter.
    """
    device = next(model.parameters()).device
    images, targets = batch.images.to(device), batch.targets.to(device)
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with torch.no_grad():
        taught = teacher(batch, images, targets) if teacher is not None else None
        student = model.train()(model.normalize(images))
        terms = method(student, taught, targets, TrainingContext(0, 0, 1))
        for buffer, before in kept:
            buffer.copy_(before)
    require_terms(terms, method, None)
    return frozenset(name for name, term in terms.items() if term.relates_images)


def require_terms(terms: Terms, method: Method, relations: frozenset[str] | None) -> None:
    """Raise ConfigError where terms do not say how they are reduced, or relate images without having said so.

    Args:
        terms: of a call.
        method: that was called.
        relations: those of the call before the first step; None where a step is one part, to which all is the same.
    """
    bare = [name for name, term in terms.items() if not isinstance(term, Term)]
    if bare:
        raise ConfigError(
            f"the method {type(method).__name__} returns {', '.join(bare)} without saying how it is reduced over "
            "images: return Term(value), Term(value, 'sum') or Term(value, relates_images=True)."
        )
    late = [] if relations is None else [n for n, term in terms.items() if term.relates_images and n not in relations]
    if late:
        raise ConfigError(
            f"the method {type(method).__name__} returns {', '.join(late)}, which relates images, only now: a step in "
            "parts is planned by the terms of the first call. Return it from the beginning, with a weight of 0."
        )
