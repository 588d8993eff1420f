"""The losses against the annotations that a recipe may choose, each with its hyper-parameters."""

import functools
from typing import Annotated, ClassVar, Literal, TypeAlias

import torch
from msgspec import Meta
from torch import Tensor

from ...runtime.config import Config
from ..losses import asymmetric, bce, focal, label_smoothing, pal, softmax_targets
from ..losses._common import full_precision, reduce_known
from ..losses.label_smoothing import EPSILON
from .term import Reduction

Name = Literal["bce", "asl", "focal", "distribution_balanced", "pal", "label_smoothing", "softmax"]


class SupervisedLoss(Config, tag_field="name"):
    """Base of the losses: a struct of hyper-parameters that maps logits and annotations to a scalar.

    Attributes:
        temperature: divides the logits first; UD (MM 2021) Table 5 finds 3 better than 1 for a small student.
    """

    by_label: ClassVar[bool] = True  # whether it is a sum over labels, each for itself

    temperature: Annotated[float, Meta(gt=0)] = 1.0

    @property
    def name(self) -> str:
        """As a recipe calls it, which its term does too."""
        return str(self.__struct_config__.tag)

    @full_precision
    def __call__(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        """The loss, unweighted: over images, the mean or the sum of what each has by itself.

        Args:
            logits: (B, C).
            targets: int8 (B, C), 1 present, 0 absent, -1 unknown (takes no part). Of mixed images float (B, C), the
                probability that the label is present, or -1: the loss is then that of both labels in these shares,
                which for binary cross-entropy is the one against the probability itself.
            reduction: of the batch; `none` gives (B, C), of a loss that is a sum over labels.
        """
        logits = logits / self.temperature
        if not targets.is_floating_point():
            return self._loss(logits, targets, reduction)
        unknown = targets < 0
        absent, present = (
            self._loss(logits, torch.full_like(targets, label, dtype=torch.int8).masked_fill(unknown, -1), "none")
            for label in (0, 1)
        )
        return reduce_known(torch.lerp(absent, present, targets.to(absent.dtype).clamp(min=0)), targets, reduction)

    def _loss(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        """What a loss defines: its value at logits that are divided by the temperature already."""
        raise NotImplementedError


class BCE(SupervisedLoss, tag="bce"):
    """Binary cross-entropy."""

    def _loss(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        return bce(logits, targets, reduction=reduction)


class ASL(SupervisedLoss, tag="asl"):
    """Asymmetric loss; the defaults are CPSD's.

    Attributes:
        gamma_neg: focusing exponent of the negatives.
        gamma_pos: focusing exponent of the positives.
        clip: probability below which negatives are dropped.
    """

    gamma_neg: Annotated[float, Meta(ge=0)] = 4.0
    gamma_pos: Annotated[float, Meta(ge=0)] = 0.0
    clip: Annotated[float, Meta(ge=0, lt=1)] = 0.05

    def _loss(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        focus = {"gamma_neg": self.gamma_neg, "gamma_pos": self.gamma_pos, "clip": self.clip}
        return asymmetric(logits, targets, **focus, reduction=reduction)


class Focal(SupervisedLoss, tag="focal"):
    """Focal loss, which plays down labels that are predicted well (Lin et al., ICCV 2017).

    Attributes:
        gamma: focusing exponent.
        alpha: weight of present labels; absent ones have 1 - alpha.
    """

    gamma: Annotated[float, Meta(ge=0)] = 2.0
    alpha: Annotated[float, Meta(gt=0, lt=1)] = 0.25

    def _loss(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        return focal(logits, targets, gamma=self.gamma, alpha=self.alpha, reduction=reduction)


class DistributionBalanced(SupervisedLoss, tag="distribution_balanced"):
    """Distribution-balanced loss with focus, for long tails (Wu et al., ECCV 2020); counts the training part's labels.

    Attributes:
        gamma: focusing exponent; 0 has no focus.
        alpha: least weight of a label.
        beta: steepness of the weight.
        mu: share of an image's sampling at which a class has half of the weight; 0.3 for VOC-MLT.
        negative_scale: steepness for absent labels; 5 for VOC-MLT.
        kappa: weight of the classes' prior.
    """

    by_label = False

    gamma: Annotated[float, Meta(ge=0)] = 2.0
    alpha: Annotated[float, Meta(ge=0)] = 0.1
    beta: Annotated[float, Meta(gt=0)] = 10.0
    mu: float = 0.2
    negative_scale: Annotated[float, Meta(gt=0)] = 2.0
    kappa: Annotated[float, Meta(ge=0)] = 0.05

    def _loss(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        raise ValueError("the loss 'distribution_balanced' counts a training part's labels first: see `count_classes`.")


class PAL(SupervisedLoss, tag="pal"):
    """UD's PAL-N: every positive against the negatives, averaged over an image's positives."""

    by_label = False

    def _loss(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        assert reduction != "none"
        return pal(logits, targets, reduction)


class LabelSmoothing(SupervisedLoss, tag="label_smoothing"):
    """Binary divergence from softened labels.

    Attributes:
        epsilon: what is taken from certainty; the default is UD's, whose target logits are 9 and -9.
    """

    epsilon: Annotated[float, Meta(gt=0, lt=0.5)] = EPSILON

    def _loss(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        return label_smoothing(logits, targets, epsilon=self.epsilon, reduction=reduction)


class Softmax(SupervisedLoss, tag="softmax"):
    """Cross-entropy of one softmax against 1/k for each of an image's k positives."""

    by_label = False

    def _loss(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        assert reduction != "none"
        return softmax_targets(logits, targets, reduction)


def numbers_beside(values: Tensor, numbers: tuple[float, ...]) -> Tensor:
    """Numbers on a tensor's device and in its dtype, copied there once: each copy makes a GPU wait."""
    return _copied(numbers, values.device, values.dtype)


@functools.lru_cache(maxsize=16)
def _copied(numbers: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(numbers, device=device, dtype=dtype)


class ClassWeighted(SupervisedLoss, tag="class_weighted", kw_only=True):
    """A loss whose labels count as much as their class does; made of a training's `class_weights`, never written.

    Attributes:
        loss: that is weighted.
        weights: C factors.
    """

    loss: SupervisedLoss
    weights: tuple[float, ...]

    @property
    def name(self) -> str:
        """The weighted loss's."""
        return self.loss.name

    def __call__(self, logits: Tensor, targets: Tensor, reduction: Reduction | Literal["none"]) -> Tensor:
        """See `SupervisedLoss`."""
        each = self.loss(logits, targets, "none")
        return reduce_known(each * numbers_beside(each, self.weights), targets, reduction)


Supervised: TypeAlias = Name | BCE | ASL | Focal | DistributionBalanced | PAL | LabelSmoothing | Softmax
"""A name, for the loss at its paper's hyper-parameters, or a mapping of `name:` and hyper-parameters."""

SUPERVISED: dict[str, SupervisedLoss] = {
    loss.name: loss for loss in (BCE(), ASL(), Focal(), DistributionBalanced(), PAL(), LabelSmoothing(), Softmax())
}
"""Every loss at its paper's hyper-parameters."""


def loss_of(supervised: Supervised) -> SupervisedLoss:
    """The loss that a recipe chose."""
    return SUPERVISED[supervised] if isinstance(supervised, str) else supervised
