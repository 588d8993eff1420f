"""What a method adds to a student while it trains: networks beside it, which are never exported."""

from collections.abc import Iterable

from torch import nn

from ...runtime.errors import ConfigError
from ..models import Classifier
from ..models.branches import BRANCHES, BranchName, branch_for
from ..models.output import ModelOutput
from ..models.precision import in_float32


class Part(nn.Module):
    """Reads a student's outputs and adds what the method compares; trained with the student, as `train.parts.method`.

    It is kept in last.ckpt alone: the student's checkpoint is the user's network.

    Attributes:
        adam_rate: peak learning rate that the paper trains it at, by Adam, whatever the student's is; None: the
            student's. `train.parts.method.lr_scale` decides otherwise.
    """

    adam_rate: float | None = None

    def forward(self, output: ModelOutput, student: Classifier) -> ModelOutput:
        """The outputs with more fields filled.

        Args:
            output: of the student, with a graph.
            student: which is no module of this one.
        """
        raise NotImplementedError

    def continue_from(self, start: Classifier) -> None:
        """Take over what a network that the student continues has of this; by default nothing."""


class Branches(Part):
    """Networks that read a student's last map and fill fields of its outputs, where it does not fill them itself.

    Args:
        fields: ModelOutput fields that are needed.
        student: their network.

    Raises:
        ConfigError: it has no feature map that they could read.
    """

    def __init__(self, fields: Iterable[str], student: Classifier) -> None:
        super().__init__()
        self.branches = nn.ModuleDict()
        for field in sorted(set(fields) - student.gives):
            name = branch_for(field)
            if name is None:
                continue
            if not student.has_maps:
                raise ConfigError(f"the branch {name!r} reads feature maps, and the network shows none.")
            self.branches[name] = BRANCHES[name].build(student.channels, student.num_classes)

    def forward(self, output: ModelOutput, student: Classifier) -> ModelOutput:
        """See `Part`."""
        device = output.logits.device
        if "ml_decoder" in self.branches:
            assert output.features is not None
            decoded = in_float32(self.branches["ml_decoder"], output.features, device)
            output.embeddings, output.embedding_logits = decoded
        if "calibration" in self.branches:
            assert output.head_input is not None
            output.calibration_logits = in_float32(self.branches["calibration"], output.head_input, device)
        return output

    def branch(self, name: BranchName, student: Classifier) -> nn.Module:
        """One of them, or the student's own."""
        return self.branches[name] if name in self.branches else student.branches[name]

    def continue_from(self, start: Classifier) -> None:
        """The branches of the same names."""
        for name, branch in self.branches.items():
            if name in start.branches:
                branch.load_state_dict(start.branches[name].state_dict())
