"""Which of a method's terms relate images to each other, asked before the first step."""

import torch
from rich.console import Console

from ...runtime.errors import ConfigError
from ...runtime.progress import print_line
from ..data.loader import Batch
from ..methods import Method, Term, Terms, TrainingContext
from .job import Job
from .network import TrainedNetwork
from .settings import TrainSettings
from .teachers import Teacher
from .world import World


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


def find_relations(
    job: Job, model: TrainedNetwork, teacher: Teacher | None, world: World, batch: Batch
) -> frozenset[str]:
    """Names of the terms that relate images; none where a step is one part, to which that makes no difference."""
    if job.settings.accumulate * world.size == 1:
        return frozenset()
    return relating_terms(job.method, model, teacher, batch)


def told_relations(settings: TrainSettings, relations: frozenset[str], world: World) -> str:
    """A sentence on what terms that relate images cost in pieces, and see of a step; empty without any."""
    if not relations:
        return ""
    names, parts = ", ".join(sorted(relations)), []
    if settings.accumulate > 1:
        parts.append(
            f"`accumulate: {settings.accumulate}`: for terms that relate the images of a whole step ({names}) every "
            "piece runs through the student twice, which costs one more forward pass"
        )
    if world.size > 1 and settings.relations == "local":
        parts.append(
            f"`relations: local`: {names} see {settings.batch_size // world.size} images at a time, not the whole "
            f"batch of {settings.batch_size}"
        )
    return "; ".join(parts)


def tell_relations(job: Job, relations: frozenset[str], console: Console, world: World) -> None:
    told = told_relations(job.settings, relations, world)
    if told:
        print_line(console, f"{job.title}: {told}.")


def blank_pair(job: Job) -> Batch:
    """The first two images of the training part as far as a teacher that was asked before knows them.

    They are told to be blank: what is stored of a teacher has no answer for one that could not be decoded.
    """
    labels = torch.from_numpy(job.train.labels[:2])
    blank = torch.zeros(len(labels), *job.card.preprocessing.size, 3, dtype=torch.uint8)
    return Batch(blank, labels, torch.arange(len(labels)), 0, [*range(len(labels))])
