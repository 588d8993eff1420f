"""What is trained: a student, and what its method adds."""

from torch import Tensor, nn

from ..methods.part import Part
from ..models import Classifier
from ..models.output import ModelOutput


class TrainedNetwork(nn.Module):
    """Both as one module, whose outputs hold what the method reads.

    Args:
        student: the network that ships.
        part: what the method adds, or None.
    """

    def __init__(self, student: Classifier, part: Part | None) -> None:
        super().__init__()
        self.student, self.part = student, part

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) RGB -> float32 (B, 3, H, W), as the student's."""
        return self.student.normalize(images)

    def forward(self, images: Tensor) -> ModelOutput:
        """For normalised images (B, 3, H, W)."""
        output: ModelOutput = self.student(images)
        return output if self.part is None else self.part(output, self.student)
