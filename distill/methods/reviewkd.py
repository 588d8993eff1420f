"""ReviewKD: distillation by knowledge review."""

from typing import Annotated, ClassVar

from msgspec import Meta
from torch import Tensor

from ...runtime.errors import ConfigError
from ..losses import hierarchical_context
from ..models import Classifier, TeacherModel
from ..models.output import ModelOutput
from .base import METHODS, ProtocolMethod, TrainingContext, WarmupEpochs, require_teacher
from .mld import mld_term
from .part import Part
from .review import Review, build_review, review_levels
from .term import Term, Terms


@METHODS.register("reviewkd")
class ReviewKD(ProtocolMethod):
    """Supervised loss + lambda_review * hierarchical context losses of the student's fused maps, summed over levels.

    A level of the student learns from the teacher's as it is and from all deeper ones through the fusion: a
    training-only branch of the student, which compares in the teacher's channels and sizes. Levels are the pooled
    features and the deepest stages, paired from the deepest on, as the authors have them. Their maps are as the stages'
    last activation leaves them; the authors take them before it. What L2D's authors take is not published.

    Attributes:
        lambda_review: weight of the losses, each a mean over images, channels and positions. 1 is that of L2D's code
            and the default of the authors', whose CIFAR-100 scripts have 0.6 to 8, depending on the pair.
        mid_channels: width of the fused maps; 256 is that of L2D's code.
        max_stages: stages that take part beside the pooled features, fewer where one of the networks has fewer. The
            authors take four, from stride 4 on, of networks for ImageNet.
        warmup_epochs: over which the weight grows from 0; 20 in the authors' CIFAR-100 code, none in L2D's.
        protocol: `paper` divides the supervised loss by the batch size; `code` sums it over the batch, as L2D's authors
            do, so that the same lambda weighs B times less.
        lambda_mld: weight of MLD beside the maps, as `mld` has it: a combination of ours, which no paper has.
        temperature: of that MLD.
    """

    came_later: ClassVar[dict[str, object]] = {"lambda_mld": 0.0, "temperature": 1.0}
    needs: ClassVar[frozenset[str]] = frozenset({"stages"})
    equations: ClassVar[str] = "ReviewKD (CVPR 2021) Sec. 3; the ReviewKD rows of L2D and MDKD"

    lambda_review: Annotated[float, Meta(ge=0)] = 1.0
    mid_channels: Annotated[int, Meta(ge=1)] = 256
    max_stages: Annotated[int, Meta(ge=1)] = 4
    warmup_epochs: WarmupEpochs = 0.0
    lambda_mld: Annotated[float, Meta(ge=0)] = 0.0
    temperature: Annotated[float, Meta(gt=0)] = 1.0

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, targets: Tensor, context: TrainingContext
    ) -> Terms:
        """Terms: the supervised loss, `review`, and `mld` where its weight is positive."""
        teacher = require_teacher(teacher, "reviewkd")
        if not teacher.stages or not student.reviewed:
            raise ConfigError(
                "method 'reviewkd' compares feature maps: the teacher's outputs must hold `stages` and the student's, "
                "with the fusion that the method builds, `reviewed`."
            )
        levels = review_levels(teacher.stages, len(student.reviewed) - 1)
        losses = [hierarchical_context(*pair) for pair in zip(student.reviewed, levels, strict=True)]
        review = {"review": Term(self.lambda_review * sum(losses[1:], losses[0]))}
        terms = {**self.supervised_terms(student, targets), **context.warmed(review, self.warmup_epochs)}
        if self.lambda_mld:
            terms["mld"] = mld_term(student, teacher, targets, self.lambda_mld, self.temperature)
        return terms

    def build_part(self, student: Classifier, teacher: TeacherModel | None, size: tuple[int, int]) -> Part:
        """The fusion.

        Raises:
            ConfigError: there is no teacher, or it has no feature maps.
        """
        network = require_teacher(teacher, "reviewkd")
        if not isinstance(network, Classifier):
            raise ConfigError(
                "method 'reviewkd' compares feature maps, which a teacher merged from sub-tasks does not have: name a "
                "single network as `teacher`."
            )
        backbones = student.backbone, network.backbone
        return Fusion(build_review(*backbones, size, width=self.mid_channels, count=self.max_stages))


class Fusion(Part):
    """The student's maps as they are compared."""

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.review = review

    def forward(self, output: ModelOutput, student: Classifier) -> ModelOutput:
        """See `Part`."""
        output.reviewed = self.review(output.stages)
        return output
