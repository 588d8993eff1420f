"""The training loop: one page, the same for every model, method and number of processes."""

import contextlib
import json
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ...runtime.batches import tolerated
from ...runtime.errors import DataError, EdgedistillError, InterruptedRunError
from ...runtime.progress import print_line
from ..data.loader import Batch
from ..methods import TrainingContext
from ..methods.part import Part
from ..models import Classifier
from .faults import explained
from .folder import ENVIRONMENT, require_checkpoint, sole_writer
from .interrupt import Interrupt, catch_interrupt, print_at_once
from .job import Job
from .journal import Journal
from .loggers import require_loggers
from .prepare import prepare
from .prepared import Prepared
from .progress import TrainingProgress
from .selection import keep_best
from .state import Tally, TrainState
from .summary import is_finished, write_summary
from .taken import Launched
from .teachers import TeacherSource
from .world import current_world

_WORTH_SAVING = 60.0  # seconds of training


def fit(job: Job, model: Classifier, teacher: TeacherSource | None, console: Console, part: Part | None = None) -> Path:
    """Train `model`, or continue where the same job stopped; returns the best checkpoint's path.

    Args:
        job: what the training is.
        model: the network that ships.
        teacher: where its teacher's outputs come from, or None.
        console: where progress is drawn.
        part: what the method adds to the network while it trains (`Method.build_part`), or None.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM; last.ckpt holds the step just finished.
        CheckpointError: last.ckpt is damaged or belongs to another recipe, or the best weights are gone.
        ConfigError: a logger does not exist, or its package is not installed.
        DataError: too many images cannot be decoded.
        EdgedistillError: the numbers stopped being finite, or the memory or disk is too small.
    """
    if not (job.validation.labels == 1).any():
        raise DataError(f"{job.validation.name}: no image carries a label, so no epoch could be selected by mAP.")
    world = current_world()
    require_loggers(job.settings.loggers, f"{job.title}: `loggers`")
    with explained(job.title), contextlib.ExitStack() as held:
        world.together(lambda: held.enter_context(sole_writer(job.folder)) if world.is_main else None)
        if not world.gather(is_finished(job))[0]:
            _Training(job, model, teacher, console, part).run()
        world.wait()  # until rank 0 has written what the others read next
    return job.folder / job.checkpoint


@dataclass(frozen=True)
class _Unread:
    """A step that is launched and not counted yet, with what a message about it needs.

    Attributes:
        launched: what the device was given.
        batch: the step's number within its epoch, from 1.
        rate: the learning rate after it.
        pieces: its images.
    """

    launched: Launched
    batch: int
    rate: float
    pieces: list[Batch]


class _Training:
    """`fit`, with what its parts share."""

    def __init__(
        self, job: Job, model: Classifier, teacher: TeacherSource | None, console: Console, part: Part | None
    ) -> None:
        self.job, self.console, self.world = job, console, current_world()
        self.prepared: Prepared = prepare(job, model, teacher, console, self.world, part=part)
        self.state: TrainState = self.prepared.state
        self.skipped_in_a_row = 0
        self.unread: _Unread | None = None
        self.saved = time.monotonic()

    def run(self) -> None:
        """All epochs that are left."""
        job, state = self.job, self.state
        self._tell_continuing()
        with (
            catch_interrupt(
                lambda: print_at_once(self.console, "stopping after this step; again to stop at once")
            ) as interrupt,
            TrainingProgress(job.title, self.prepared.total_steps, self.console) as progress,
            contextlib.closing(self._journal()) as journal,
        ):
            if state.history and self.world.is_main:  # a process killed between its files may have left it behind
                write_summary(job, state)
            while state.epoch < job.settings.epochs:
                self._train_epoch(interrupt, progress)
                if time.monotonic() - self.saved > _WORTH_SAVING:
                    self._save()  # evaluation may be long, and who asks to stop may not wait for its end
                record = self._finish_epoch()
                self.world.together(lambda: self._write_epoch(journal))
                progress.epoch(record, job.settings.epochs)
                self._stop_if(interrupt)
        self.world.together(lambda: require_checkpoint(job) if self.world.is_main else None)
        if state.bad_images:
            names = ", ".join(list(state.bad_images.values())[:3])
            print_line(self.console, f"{job.title}: {len(state.bad_images)} undecodable images skipped ({names}, ...)")

    def _tell_continuing(self) -> None:
        done = self.state.epoch * len(self.prepared.sampler) + self.state.batch
        if done and self.state.epoch < self.job.settings.epochs and self.world.is_main:
            print_line(self.console, f"{self.job.title}: continues after step {done} of {self.prepared.total_steps}")

    def _journal(self) -> "Journal | _Nothing":
        if not self.world.is_main:
            return _Nothing()
        environment = json.loads((self.job.folder / ENVIRONMENT).read_bytes())
        return Journal(self.job, self.state.history, environment, self.console)

    def _write_epoch(self, journal: "Journal | _Nothing") -> None:
        """What an epoch leaves, last.ckpt first; rank 0 writes, and a fault of its disk is everybody's."""
        self._save()
        if self.world.is_main:
            journal.write(self.state.history)
            write_summary(self.job, self.state)

    def _train_epoch(self, interrupt: Interrupt, progress: TrainingProgress) -> None:
        state, prepared, step = self.state, self.prepared, self.prepared.step
        step.stopwatch.reset(state.tally.seconds)
        state.trained.train()
        prepared.freeze()
        for pieces in prepared.steps():
            done = state.epoch * len(prepared.sampler) + state.batch
            launched = step(pieces, TrainingContext(state.epoch, done, prepared.total_steps))
            state.batch += 1
            self._count()  # the step before, so that the device has work while the host waits for it
            self.unread = _Unread(launched, state.batch, state.rate, pieces)
            progress.step(done + 1, state, prepared.sampler.batch_size)
            self._stop_if(interrupt, {index for batch in pieces for index in batch.bad})
        self._count()

    def _count(self) -> None:
        """Add the step that is not read yet to the tally; too many in a row that could not be taken stop the run."""
        if self.unread is None:
            return
        unread, self.unread = self.unread, None
        taken = unread.launched.read()
        self.state.tally.seconds = self.prepared.step.stopwatch.seconds
        if taken.finite:
            self.state.tally.add(taken.terms)
            self.skipped_in_a_row = 0
            return
        self.state.skipped_steps += 1
        self.skipped_in_a_row += 1
        in_epoch = len(self.prepared.sampler)
        if taken.loss_scale > 1.0:
            return  # fp16 is still looking for a scale at which its gradients fit
        if self.skipped_in_a_row >= min(self.job.settings.skip_limit, in_epoch):
            ids = [self.job.train.ids[int(index)] for batch in unread.pieces for index in batch.indices]
            raise EdgedistillError(
                f"{self.job.title}: {taken.culprit} was not finite in {self.skipped_in_a_row} steps in a row, the last "
                f"one step {unread.batch} of {in_epoch} in epoch {self.state.epoch + 1}, at learning rate "
                f"{unread.rate:.3g}, on {', '.join(ids[:4])}"
                f"{f' and {len(ids) - 4} more' if len(ids) > 4 else ''}. Lower `lr`, set `clip_grad_norm: 1.0` or "
                "`precision: fp32`; the last good checkpoint is kept."
            )

    def _finish_epoch(self) -> dict[str, Any]:
        """The epoch's record, with its accuracy where it was evaluated."""
        state, job = self.state, self.job
        per_process = self.world.gather(state.tally.means())
        seconds = state.tally.seconds
        record = {
            "epoch": state.epoch,
            "terms": {name: _mean([means[name] for means in per_process]) for name in per_process[0]},
            "lr": state.rate,
            "images_per_second": state.batch * self.prepared.sampler.batch_size / max(sum(seconds.values()), 1e-9),
            "seconds": round(sum(seconds.values()), 3),
            "time": {phase: round(value, 3) for phase, value in seconds.items()},
            "skipped_steps": state.skipped_steps,
        }
        state.epoch, state.batch, state.tally = state.epoch + 1, 0, Tally()
        settings = job.settings
        if state.swa is not None and settings.swa is not None and settings.swa.averages(state.epoch, settings.epochs):
            state.swa.update_parameters(state.model)
        if state.epoch % job.settings.evaluate_every == 0 or state.epoch == job.settings.epochs:
            record |= keep_best(job, self.prepared, self.world)
        state.history.append(record)
        return record

    def _note_bad(self, bad: set[int]) -> None:
        """Remember images that could not be decoded; past the set share the run stops."""
        job, known = self.job, self.state.bad_images
        known |= {index: job.train.ids[index] for index in bad}
        if len(known) > tolerated(len(job.train), job.max_bad_share):
            names = ", ".join(list(known.values())[:3])
            raise DataError(
                f"{job.train.name}: {len(known)} of {len(job.train)} images cannot be decoded ({names}, ...), more "
                f"than max_bad_share {job.max_bad_share:g} allows. Repair them or raise `data.max_bad_share`."
            )

    def _save(self) -> None:
        self._count()
        if self.world.is_main:
            self.state.save(self.job.last, self.job.identity)
        self.saved = time.monotonic()

    def _stop_if(self, interrupt: Interrupt, bad: Collection[int] = ()) -> None:
        """Stop where any process was asked to, or where all have met too many `bad` images; save where it is time."""
        due = time.monotonic() - self.saved > self.job.settings.save_minutes * 60
        told = self.world.gather((bool(interrupt), due, bad))
        self._note_bad(set().union(*(found for _, _, found in told)))
        asked = any(stop for stop, _, _ in told)
        if asked or any(late for _, late, _ in told):  # all processes, since to save is to read the last step
            self._save()
        if not asked:
            return
        done, total = self.state.epoch * len(self.prepared.sampler) + self.state.batch, self.prepared.total_steps
        raise InterruptedRunError(
            f"{self.job.title}: stopped after step {done} of {total}; saved in {self.job.last}. "
            "The same command continues."
        )


class _Nothing:
    """The journal of a process that writes none."""

    def write(self, history: list[dict[str, Any]]) -> None:
        pass

    def close(self) -> None:
        pass


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
