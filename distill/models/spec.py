"""What a recipe's `model:` section says."""

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from ...runtime.config import Config
from .backbone import Stem
from .branches import BranchName
from .heads import HeadName
from .partial_weights import PretrainedFile
from .weights import DIGITS, Pretrained


class ModelSpec(Config):
    """A model by name.

    Attributes:
        name: a registered backbone, `torchvision/<name>` or `timm/<name>`.
        width: channel multiplier, for families that have one.
        head: "linear" (average pooling), "linear_max" (max pooling, UD's code), "ml_decoder" (L2D's head),
            "query2label" (Q2L), "transformer" (CPSD's "TF": an encoder with class tokens), or "library": the own
            classifier of a timm/ or torchvision/ network, computed as the library does.
        class_embeddings: for `head: transformer`, a local .npy of word vectors (C, D') in the order of the data's
            classes, GloVe's in the paper; None for learned class tokens.
        branches: networks that are trained beside it and never exported: "ml_decoder" gives a teacher with a linear
            head the label-wise embeddings that `l2d` needs, "calibration" the second logits that `ud` needs.
        stem: for inputs of about 32 to 128 px, "small" removes the first stride and "unpooled" the first max pooling,
            which gives maps of the same size for less.
        block: "qa" gives a network of RepVGG blocks those of QARepVGG, whose fused kernels lose less in int8.
        pretrained: a local .safetensors or .pth path, "imagenet" (the library downloads it), "digits" (a recipe trains
            the backbone on single digits first), None, or a mapping of `path` and `partial: true`,
            which loads what fits of a file and tells what lacks; see `PretrainedFile`.
    """

    name: str
    width: float = 1.0
    head: HeadName = "linear"
    class_embeddings: str | None = None
    branches: list[BranchName] = []
    stem: Stem = "standard"
    block: Literal["standard", "qa"] = "standard"
    pretrained: Pretrained = None

    @property
    def pretrained_path(self) -> str | None:
        """The weights file that it names, if any."""
        if isinstance(self.pretrained, PretrainedFile):
            return self.pretrained.path
        return None if self.pretrained in ("imagenet", DIGITS) else self.pretrained

    def with_files(self, locate: Callable[[str], str]) -> "ModelSpec":
        """The same with other paths of its files, as `locate` has them."""
        path, vectors = self.pretrained_path, self.class_embeddings
        found: Pretrained = self.pretrained
        if path is not None:
            file = self.pretrained
            place = locate(path)
            found = msgspec.structs.replace(file, path=place) if isinstance(file, PretrainedFile) else place
        return msgspec.structs.replace(
            self, pretrained=found, class_embeddings=None if vectors is None else locate(vectors)
        )

    def deciding(self) -> dict[str, Any]:
        """As plain data, for a training's identity: without what came later and is left at its default."""
        plain = msgspec.to_builtins(self)
        if self.block == "standard":
            del plain["block"]
        return plain
