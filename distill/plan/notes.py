"""What is worth knowing about a training before it starts: a line each, which `--dry-run` prints below its tables."""

from collections.abc import Iterator

from ..experiment.jobs import Training


def notes(training: Training, *, final: bool) -> Iterator[str]:
    """Sentences about a training, for people.

    Args:
        training: as it would start.
        final: whether its teacher has its final weights.
    """
    if not final and training.job.last.is_file():
        yield "whether what was begun goes on, the teacher decides"
