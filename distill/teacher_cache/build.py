"""Fill a cache: the teacher's outputs on every view of every image."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console

from ...runtime.batches import tolerated
from ...runtime.datasets import Dataset
from ...runtime.datasets.base import POSITIVE
from ...runtime.errors import DataError, InterruptedRunError
from ..data.loader import choose_workers
from ..data.views import Views
from ..engine.interrupt import Interrupt, catch_interrupt, print_at_once
from ..engine.world import World
from .forward import TeacherRows
from .images import StoredBatch, stored_batches
from .progress import image_progress
from .store import Store


def build(
    store: Store,
    numbers: list[int],
    teacher: TeacherRows,
    dataset: Dataset,
    views: Views,
    *,
    batch_size: int,
    workers: int | None,
    max_bad_share: float,
    console: Console,
    world: World,
) -> None:
    """Build the chunks `numbers`, shared out between the processes of `world`.

    Args:
        store: allocated.
        numbers: of chunks, the same in every process.
        teacher: the network.
        dataset: the split.
        views: of its images.
        batch_size: images per forward pass of one process.
        workers: loading processes, as for a training.
        max_bad_share: share of undecodable images at which to stop.
        console: quiet in all processes but one.
        world: the processes.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM; finished chunks stay.
        DataError: too many images cannot be decoded.
        EdgedistillError: the disk does not take it, or an output is not finite.
    """
    chunks, mine = store.layout.chunks, numbers[world.rank :: world.size]
    total, own = (sum(len(chunks[number]) for number in part) for part in (numbers, mine))
    stopping = "stopping; what is finished of the teacher cache is kept"
    with (
        catch_interrupt(lambda: print_at_once(console, stopping)) as interrupt,
        image_progress("teacher cache", total, console) as tell,
    ):
        batches = stored_batches(
            views,
            store.layout.order,
            [chunks[number] for number in mine],
            batch_size,
            workers=choose_workers(dataset, workers, teacher.device),
            pin_memory=teacher.device.type == "cuda",
        )
        part = _Part(store, teacher, dataset, batches, interrupt, lambda done: tell(done * total // own))
        for turn in range(-(-len(numbers) // world.size)):
            chosen = mine[turn : turn + 1]  # none, in the last turn of some processes
            world.together(lambda: part.build_all(chosen, world.rank))  # noqa: B023
            _refuse_many(set().union(*world.gather(part.undecodable)), dataset, max_bad_share)


@dataclass
class _Part:
    """What one process builds, chunk after chunk."""

    store: Store
    teacher: TeacherRows
    dataset: Dataset
    batches: Iterator[StoredBatch]
    interrupt: Interrupt
    tell: Callable[[int], None]
    done: int = 0
    undecodable: set[str] = field(default_factory=set)

    def build_all(self, numbers: Sequence[int], rank: int) -> None:
        for number in numbers:
            self.build(number, rank)

    def build(self, number: int, rank: int) -> None:
        """The next chunk that `batches` gives, which is `number`."""
        chunk, order = self.store.layout.chunks[number], self.store.layout.order
        parts, bad, reached = [], [], chunk.start
        while reached < chunk.stop:
            images, rows, decodable = next(self.batches)
            indices = order.indices[rows.numpy()]
            ids = [self.dataset.ids[index] for index in indices]
            parts.append(self.teacher(images, self.dataset.labels[indices] == POSITIVE, decodable.numpy(), ids))
            bad += rows[~decodable].tolist()
            reached += len(rows)
            self.done += len(rows)
            self.tell(self.done)
            if self.interrupt and reached < chunk.stop:
                raise self._interrupted()
        self.store.write(number, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, bad, rank)
        self.undecodable |= {self.dataset.ids[order.indices[row]] for row in bad}
        if self.interrupt:
            raise self._interrupted()

    def _interrupted(self) -> InterruptedRunError:
        return InterruptedRunError(
            f"teacher cache: stopped; what is finished is kept in {self.store.folder}. The same command continues."
        )


def _refuse_many(undecodable: set[str], dataset: Dataset, max_bad_share: float) -> None:
    if len(undecodable) > tolerated(len(dataset), max_bad_share):
        raise DataError(
            f"{dataset.name}: {len(undecodable)} of {len(dataset)} images cannot be decoded "
            f"({', '.join(sorted(undecodable)[:3])}, ...), more than max_bad_share {max_bad_share:g} allows. Repair "
            "them or raise `data.max_bad_share`."
        )
