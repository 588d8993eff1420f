"""Heads: what turns the last map into the logits that ship."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from .class_token_transformer import ClassTokenTransformer
from .linear_head import LinearHead
from .ml_decoder import MLDecoder
from .query2label import Query2Label

HeadName = Literal["linear", "linear_max", "ml_decoder", "query2label", "transformer", "library"]


class Head(NamedTuple):
    """A head that a recipe may name.

    Attributes:
        build: makes it from the channels F of the last map and the number of classes C; the module maps
            (B, F, H, W) to what the logits are read from and the logits (B, C).
        gives: the ModelOutput field that what the logits are read from is; None where it has none of its own.
        reads_class_embeddings: it can start from one vector per class (`ModelSpec.class_embeddings`).
    """

    build: Callable[..., nn.Module]
    gives: str | None = None
    reads_class_embeddings: bool = False


HEADS: dict[HeadName, Head] = {
    "linear": Head(LinearHead),
    "linear_max": Head(partial(LinearHead, pool="max")),
    "ml_decoder": Head(MLDecoder, gives="embeddings"),
    "query2label": Head(Query2Label, gives="embeddings"),
    "transformer": Head(ClassTokenTransformer, gives="embeddings", reads_class_embeddings=True),
    "library": Head(lambda channels, num_classes: nn.Identity()),  # part of the network: see `models.whole`
}
