"""UD: uncertainty distillation."""

from collections.abc import Iterable
from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from ...runtime.errors import ConfigError
from ..losses import attention_distance, binary_kl, softmax_kl
from ..models import Classifier, TeacherModel
from ..models.attention import ChannelWeights
from ..models.output import ModelOutput
from .base import METHODS, Protocol, ProtocolMethod, TrainingContext, WarmupEpochs, require_teacher
from .part import Branches, Part
from .supervised import Supervised
from .term import Term, Terms

_BETA: dict[Protocol, float] = {"paper": 0.5, "code": 0.1}
_CHANNEL_WEIGHTS: dict[Protocol, ChannelWeights] = {"paper": "gradient", "code": "softmax"}


@METHODS.register("ud")
class UD(ProtocolMethod):
    """lambda_kd L'_b + alpha L'_ps + beta L_att (Eq. 18), without any term on the annotations.

    L'_b is the binary KL of every class, averaged over the classes (Eq. 13), L'_ps the KL of the softmaxes of the
    calibration branches (Eq. 14), both at a temperature; L_att the distance of the uncertainty attentions (Eq. 17). Of
    two maps of unequal size the student's is resized to the teacher's. The teacher is trained with its calibration
    branch by the labels (Eq. 12); the student's branch learns from it, and is not exported. What a weight of 0 switches
    off is neither computed nor needed: with `alpha` and `beta` 0 it is the paper's "KD", with `beta` 0 its Table 5 "w/o
    uncertainty attention distillation". Self-distillation is a teacher of the student's own architecture.

    The default is the authors' scale. In that of the formulas L'_b, which alone teaches what ships, has few percent of
    the gradient, and a student that starts from nothing hardly learns (docs/which_method.md).

    Attributes:
        supervised: loss against the annotations; None, as in the paper, has none. One brings PAL-N on the student's
            calibration branch with it. A branch that the recipe gives the student and no other term reaches learns
            from the annotations anyway, a decoder by BCE.
        lambda_kd: weight of L'_b.
        alpha: weight of L'_ps.
        beta: weight of L_att; None takes the protocol's, 0.5 of the paper or 0.1 of the code.
        warmup_epochs: over which the weight of L_att grows from 0; none in the paper.
        temperature: T.
        protocol: `paper` is Eq. 13-18, averaged over images. `code`, the authors': both KLs are summed over the images
            (as is a supervised loss) and multiplied by T^2, the binary one is halved; attentions weight the channels by
            a softmax of Eq. 15, and their distance is the mean squared difference. Its maximum pooling is the model's
            `head: linear_max`.
    """

    equations: ClassVar[str] = "UD (MM 2021) Eq. 13-18"

    supervised: Supervised | None = None  # type: ignore[assignment]
    lambda_kd: Annotated[float, Meta(ge=0)] = 1.0
    alpha: Annotated[float, Meta(ge=0)] = 0.5
    beta: Annotated[float, Meta(ge=0)] | None = None
    warmup_epochs: WarmupEpochs = 0.0
    temperature: Annotated[float, Meta(gt=0)] = 3.0
    protocol: Protocol = "code"

    def __post_init__(self) -> None:
        if not (self.lambda_kd or self.supervised):
            raise ValueError("lambda_kd is 0, so nothing teaches the head that ships: name a supervised loss")
        if self._beta and not (self.alpha or self.supervised):
            raise ValueError(
                "beta needs the student's calibration branch, which nothing trains when alpha is 0: set beta to 0 too, "
                "or name a supervised loss"
            )

    @property
    def needs(self) -> frozenset[str]:
        """What the terms of positive weight read."""
        if self._beta:
            return frozenset({"calibration_logits", "attention"})
        return frozenset({"calibration_logits"} if self.alpha else ())

    @property
    def learns_by(self) -> Supervised:
        """BCE where `supervised` is None."""
        return self.supervised or "bce"

    @property
    def labelled(self) -> frozenset[str]:
        """Without `supervised` the branches that no term of UD's reaches."""
        if self.supervised is not None:
            return super().labelled
        return frozenset({"embedding_logits"} if self.alpha else {"embedding_logits", "calibration_logits"})

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: those of what is `labelled`; `kd`, `calibration_kd`, `attention` of positive weight."""
        teacher, code = require_teacher(teacher, "ud"), self.protocol == "code"
        heard = teacher.heard(targets)
        scale = self.temperature**2 if code else 1.0
        terms = self.supervised_terms(student, targets)
        if self.lambda_kd:
            divergence = binary_kl(student.logits, teacher.logits, heard, self.temperature, self.reduction)
            terms["kd"] = Term(self.lambda_kd * scale * (0.5 if code else 1.0) * divergence, self.reduction)
        if self.alpha:
            calibrated = _require(student, teacher, "calibration_logits")
            divergence = softmax_kl(*calibrated, heard, self.temperature, self.reduction)
            terms["calibration_kd"] = Term(self.alpha * scale * divergence, self.reduction)
        if self._beta:
            maps = _require(student, teacher, "attention")
            distance = Term(self._beta * attention_distance(*maps, heard, "mse" if code else "l2"))
            terms |= context.warmed({"attention": distance}, self.warmup_epochs)
        return terms

    def build_part(self, student: Classifier, teacher: TeacherModel | None, size: tuple[int, int]) -> Part | None:
        """A calibration branch, and attention."""
        if not self._beta:
            return super().build_part(student, teacher, size)
        return Attending(self.needs, student, _CHANNEL_WEIGHTS[self.protocol])

    def prepare_teacher(self, teacher: TeacherModel) -> None:
        """Attention."""
        if self._beta and isinstance(teacher, Classifier):
            teacher.attend(_CHANNEL_WEIGHTS[self.protocol])

    @property
    def _beta(self) -> float:
        return _BETA[self.protocol] if self.beta is None else self.beta


class Attending(Branches):
    """The calibration branch with the uncertainty attention between it and the student's head.

    Args:
        fields: see `Branches`.
        student: its head must be one that can be asked about a map.
        channel_weights: see `uncertainty_attention`.
    """

    def __init__(self, fields: Iterable[str], student: Classifier, channel_weights: ChannelWeights) -> None:
        student.require_readable_head()
        super().__init__(fields, student)
        self.channel_weights: ChannelWeights = channel_weights

    def forward(self, output: ModelOutput, student: Classifier) -> ModelOutput:
        """See `Part`."""
        output = super().forward(output, student)
        assert output.features is not None
        calibration = self.branch("calibration", student)
        output.attention = student.uncertainty(output.features, calibration, self.channel_weights)
        return output


def _require(student: ModelOutput, teacher: ModelOutput, field: str) -> tuple[Tensor, Tensor]:
    found = getattr(student, field), getattr(teacher, field)
    for value, who in zip(found, ("student", "teacher"), strict=True):
        if value is None:
            raise ConfigError(
                f"method 'ud' compares {field.replace('_', ' ')} and the {who} has none: it needs a calibration branch "
                "(`branches: [calibration]`) that was trained with it."
            )
    return found
