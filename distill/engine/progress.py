"""What a person sees while a model trains: a live line with an ETA on a terminal, one line per epoch elsewhere."""

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import TextColumn

from ...runtime.progress import progress_bar


class TrainingProgress:
    """Renders one training.

    Args:
        title: what is being trained.
        total_steps: of the whole training.
        console: where to draw; it knows whether it is a terminal.
    """

    def __init__(self, title: str, total_steps: int, console: Console) -> None:
        self.title, self.console = title, console
        self._bar = progress_bar(console, TextColumn("{task.fields[status]}"))
        self._task = self._bar.add_task(title, total=total_steps, status="")

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.stop()

    def step(self, done: int, *, best: float) -> None:
        """Advance to `done` steps."""
        status = f"best mAP {best:.1f}" if best >= 0 else ""
        self._bar.update(self._task, completed=done, status=status)

    def epoch(self, record: dict[str, Any], epochs: int) -> None:
        """One line per evaluated epoch, when nobody watches a live bar."""
        if self.console.is_terminal:
            return
        terms = "  ".join(f"{name} {value:.4g}" for name, value in record["terms"].items())
        validation = f"  val mAP {record['val_mAP']:.2f}" if "val_mAP" in record else ""
        self.console.print(
            f"{self.title}  epoch {record['epoch'] + 1}/{epochs}  {terms}{validation}"
            f"  {record['images_per_second']:.0f} images/s",
            highlight=False,
            soft_wrap=True,
        )
