"""What a teacher or a student of an experiment says of images."""

from collections.abc import Callable
from typing import Any, TypeVar

from rich.console import Console

from ...runtime.datasets import Dataset
from ...runtime.progress import counting
from ..engine import choose_device
from ..teacher_cache import ScoreTable
from .outside import OutsideTeacher
from .teachers import Teacher

T = TypeVar("T")


def predict(
    forward: Callable[..., T],
    teacher: Teacher,
    dataset: Dataset,
    title: str,
    *,
    max_bad_share: float,
    console: Console,
    **options: Any,
) -> T:
    """Run it on a data set of its classes; what a teacher says nothing of is taken for unknown there.

    Args:
        forward: `engine.predict_logits`, or what is called like it.
        teacher: whatever can teach.
        dataset: the images.
        title: of the progress.
        max_bad_share: of images that cannot be decoded.
        console: where progress is drawn.
        options: others of `forward`.
    """
    if isinstance(teacher.model, ScoreTable):
        return teacher.model.outputs(dataset)  # type: ignore[return-value]  # Outputs, of which logits are asked
    if isinstance(teacher, OutsideTeacher):
        dataset = teacher.judged(dataset)
    with counting(title, console) as progress:
        model = teacher.model.to(choose_device())
        outputs = forward(
            model, dataset, teacher.card.preprocessing, max_bad_share=max_bad_share, progress=progress, **options
        )
    teacher.model.cpu()  # a Student is on the CPU, where export traces it
    return outputs
