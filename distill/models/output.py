"""What every model returns in training."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class ModelOutput:
    """Outputs of one forward pass; what a method does not need is None or not computed.

    A teacher served from a cache has its logits and what the method names in `needs`, and nothing else.

    Attributes:
        logits: (B, C) of the head that ships.
        features: last feature map (B, F, H, W).
        stages: feature maps of every stage, shallow to deep; the last one is `features`.
        pooled: `features` averaged over the map (B, F): the image's representation, whatever the head pools.
        head_input: (B, F), what the head reads where that is one vector of an image, else `pooled`; a calibration
            branch reads it too.
        embeddings: label-wise embeddings (B, C, D) of a head that embeds every class (ML-Decoder, Query2Label, class
            tokens) or of an ML-Decoder branch.
        embedding_logits: (B, C) read from `embeddings`; the same tensor as `logits` when the head embeds.
        calibration_logits: (B, C) of a calibration branch (UD).
        attention: (B, H, W), UD's uncertainty attention of the last map, where it was asked for (`Classifier.attend`).
        reviewed: a student's maps after ReviewKD's fusion, deep to shallow, in the shapes of its teacher's stages.
        partition_logits: (B, P, C) of a merged teacher (CPSD), one for each partition of the classes.
        targets: int8 (B, C), of a teacher that does not speak exactly where labels are known; see `heard`.
    """

    logits: Tensor
    features: Tensor | None = None
    stages: list[Tensor] = field(default_factory=list)
    pooled: Tensor | None = None
    head_input: Tensor | None = None
    embeddings: Tensor | None = None
    embedding_logits: Tensor | None = None
    calibration_logits: Tensor | None = None
    attention: Tensor | None = None
    reviewed: list[Tensor] = field(default_factory=list)
    partition_logits: Tensor | None = None
    targets: Tensor | None = None

    def heard(self, targets: Tensor) -> Tensor:
        """What the terms that compare with this teacher take for `targets`.

        Args:
            targets: int8 (B, C), as annotated; 1 present, 0 absent, -1 unknown.

        Returns:
            int8 (B, C): -1 where the teacher says nothing; its own decision where it speaks of an unknown label.
        """
        return targets if self.targets is None else self.targets
