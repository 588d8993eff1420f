"""What a person sees while a model trains: a live line with an ETA on a terminal, one line per epoch elsewhere."""

import time
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import TextColumn
from rich.text import Text

from ...runtime.progress import print_line, progress_bar
from .state import TrainState
from .summary import shares

_REFRESH = 0.25  # seconds
_WORTH = 0.005  # shares of time below it are not printed


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
        self._terms = Text(style="dim")
        self._live = Live(Group(self._bar, self._terms), console=console, transient=True, refresh_per_second=4)
        self._total, self._shown = total_steps, float("-inf")

    def __enter__(self) -> "TrainingProgress":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._live.stop()

    def step(self, done: int, state: TrainState, batch_size: int) -> None:
        """Advance to `done` steps; the numbers follow a few times a second."""
        now = time.monotonic()
        if not self.console.is_terminal or (now - self._shown < _REFRESH and done < self._total):
            return
        seconds = sum(state.tally.seconds.values())
        status = [f"{state.batch * batch_size / max(seconds, 1e-9):,.0f} images/s"]
        if state.best >= 0:
            status.append(f"best mAP {state.best:.1f}")
        if state.skipped_steps:
            status.append(f"[yellow]{state.skipped_steps} steps skipped[/]")
        self._bar.update(self._task, completed=done, status="  ".join(status))
        terms = [f"{name} {value:.3g}" for name, value in state.tally.means().items()]
        self._terms.plain = "  ".join([f"lr {state.rate:.2g}", *terms])
        self._shown = now

    def epoch(self, record: dict[str, Any], epochs: int) -> None:
        """One line per finished epoch, when nobody watches a live bar."""
        if self.console.is_terminal:
            return
        parts = [f"{self.title}  epoch {record['epoch'] + 1}/{epochs}"]
        parts += [f"{name} {value:.4g}" for name, value in record["terms"].items()]
        if "val_mAP" in record:
            each = [f"{weights} {score:.2f}" for weights, score in record.get("val_mAP_of", {}).items()]
            parts.append(f"val mAP {record['val_mAP']:.2f}" + (f" ({', '.join(each)})" if each else ""))
        if record["skipped_steps"]:
            parts.append(f"{record['skipped_steps']} steps skipped so far")
        parts.append(f"{record['images_per_second']:.0f} images/s")
        found = shares([record["time"]])
        parts.append("(" + ", ".join(f"{phase} {share:.0%}" for phase, share in found.items() if share >= _WORTH) + ")")
        print_line(self.console, "  ".join(parts))
