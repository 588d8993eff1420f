"""What is known of a network that is exported by itself: its size, and how it did on the split whose logits travel."""

from collections.abc import Sequence

import numpy as np

from ..runtime.bundle import Ancestor, Lineage
from ..runtime.datasets.base import Dataset
from ..runtime.metrics import evaluate, sigmoid
from .sources.base import Source


def own_lineage(source: Source, references: Sequence[tuple[Dataset, np.ndarray]]) -> Lineage:
    """The network alone.

    Args:
        source: what is exported.
        references: labelled splits with its logits (N, C), NaN for images that could not be decoded; its numbers are of
            the first.
    """
    network = Ancestor(role="network", model=source.card.model, parameters=source.parameters)
    if not references:
        return Lineage(networks=(network,))
    listed, logits = references[0]
    split = listed.with_classes(source.card.classes)
    usable = np.isfinite(logits).all(axis=1)
    found = evaluate(sigmoid(logits[usable]), split.labels[usable])
    points = {name: found[name] for name in ("mAP", "OF1", "CF1") if np.isfinite(found[name])}
    return Lineage(
        networks=(Ancestor(role=network.role, model=network.model, parameters=network.parameters, **points),),
        dataset=split.name,
        fingerprint=split.fingerprint(),
        images=int(usable.sum()),
    )
