"""Open a cache, and build what it lacks."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from rich.console import Console
from torch import nn

from ...runtime.batches import MAX_BAD_SHARE
from ...runtime.datasets import Dataset
from ...runtime.errors import DataError, EdgedistillError
from ...runtime.files import write_atomic
from ...runtime.progress import print_line
from ...runtime.record import Record
from ..data.views import Views
from ..engine.world import World
from .build import build
from .cached import CachedTeacher
from .fields import fields_for
from .forward import TeacherRows
from .layout import Layout, StorageOrder
from .lock import only_builder
from .progress import image_progress
from .spec import CHUNK, CacheSpec
from .store import Entry, Found, Store


class Description(Record):
    """spec.json: what a folder holds.

    Attributes:
        spec: what the folder's name is the digest of.
        dataset: name of the split, for the reader.
        images: N.
        shapes: of one row of each field.
    """

    spec: CacheSpec
    dataset: str
    images: int
    shapes: dict[str, tuple[int, ...]]


def open_or_build(
    root: Path,
    model: nn.Module,
    dataset: Dataset,
    views: Views,
    needs: frozenset[str],
    *,
    epochs: int,
    device: torch.device,
    dtype: torch.dtype | None,
    batch_size: int,
    workers: int | None,
    console: Console,
    world: World,
    max_bad_share: float = MAX_BAD_SHARE,
    chunk: int = CHUNK,
) -> CachedTeacher:
    """The outputs of a frozen teacher on every view of a training split, from a folder below `root`.

    What is there and sound is used, by any number of runs at once; what is missing, damaged or unfinished is built.
    All processes of `world` call it together. A cache that is complete is only read: neither the network nor a place
    to write is needed then.

    Args:
        root: the folder of all teacher caches.
        model: takes normalised images, has `normalize` and returns a ModelOutput; moved to `device` if it has to run.
        dataset: the split, labels included.
        views: of its images; where they are endless, one per epoch is stored.
        needs: what the method reads beyond logits.
        epochs: of the training.
        device: where the teacher runs and its outputs are wanted.
        dtype: of the teacher's autocast, or None for float32.
        batch_size: images per forward pass of one process.
        workers: loading processes, as for a training.
        console: where a line says what is read or built, and how large it is.
        world: the processes.
        max_bad_share: share of undecodable images at which to stop.
        chunk: images of a view that are written, checked and rebuilt together.

    Raises:
        ConfigError: the method reads what is not stored, or what the teacher does not give.
        InterruptedRunError: Ctrl-C or SIGTERM; what is finished stays.
        DataError: too many images cannot be decoded.
        EdgedistillError: the disk is too small or refuses, or an output is not finite.
    """
    console = console if world.is_main else Console(quiet=True)
    order, fields = StorageOrder.of(dataset), fields_for(needs)

    def described_now() -> CacheSpec:
        return CacheSpec.of(
            model,
            dataset,
            root=root,
            transform=views.transform,
            fields=fields,
            dtype=dtype,
            remember=world.is_main,
            chunk=chunk,
        )

    # The other processes of this machine then find what the image files hold, and need not read them too.
    of_main = world.together(lambda: described_now() if world.is_main else None)
    spec = of_main or described_now()
    if len(set(world.gather(spec.digest()))) > 1:
        raise DataError(f"teacher cache: the processes do not see the same {dataset.name}: its image files differ.")
    folder = root / spec.digest()
    count = epochs if views.count is None else views.count

    def laid_out(shapes: dict[str, tuple[int, ...]]) -> Store:
        return Store(folder, Layout(order, count, shapes, chunk))

    sound: dict[int, Entry] = {}
    described = world.gather(_read_description(folder, spec))[0]
    if described is not None:
        store = laid_out(described.shapes)
        found = _check(store, store.layout.numbers, views, world, console)
        if not found.unusable:
            _tell(console, f"{store.layout}, in {folder}")
            return _cached(store, dataset, found.sound, device)
        sound = found.sound

    teacher = TeacherRows(model, fields, device, dtype)
    store = laid_out(teacher.shapes(views.decoded.preprocessing.size))
    description = Description(spec=spec, dataset=dataset.name, images=len(dataset), shapes=store.layout.shapes)
    if described is None or described.shapes != description.shapes:
        sound = {}
    with only_builder(folder, world, console):
        # By now another run may have built what lacked.
        found = _check(store, [number for number in store.layout.numbers if number not in sound], views, world, console)
        _announce(store, found, console)
        world.together(lambda: _claim(store, description) if world.is_main else None)
        world.together(lambda: _require_shared(store))
        todo = found.unusable
        build(
            store,
            todo,
            teacher,
            dataset,
            views,
            batch_size=batch_size,
            workers=workers,
            max_bad_share=max_bad_share,
            console=console,
            world=world,
        )
        built = _check(store, todo, views, world, console)
    if built.unusable:
        raise EdgedistillError(f"teacher cache: {folder} reads back other bytes than were written: is the disk faulty?")
    return _cached(store, dataset, sound | found.sound | built.sound, device)


def _read_description(folder: Path, spec: CacheSpec) -> Description | None:
    """What spec.json says; None where it is missing, damaged or about something else."""
    try:
        described = msgspec.json.decode((folder / "spec.json").read_bytes(), type=Description)
    except (OSError, msgspec.DecodeError):
        return None
    return described if described.spec.digest() == spec.digest() and tuple(described.shapes) == spec.fields else None


def _check(store: Store, numbers: Sequence[int], views: Views, world: World, console: Console) -> Found:
    """The state of chunks, each read by one process. One whose image could not be decoded and now can is missing."""
    mine, found, chunks = numbers[world.rank :: world.size], Found(), store.layout.chunks
    with image_progress("checking the teacher cache", sum(len(chunks[number]) for number in mine), console) as tell:
        part = store.check(mine, tell)
    for number, entry in list(part.sound.items()):
        if any(_decodable(views, int(store.layout.order.indices[row])) for row in entry.undecodable):
            del part.sound[number]
            part.missing.append(number)
    for one in world.gather(part):
        found.update(one)
    return found


def _decodable(views: Views, index: int) -> bool:
    try:
        views.decoded[index]
    except DataError:
        return False
    return True


def _announce(store: Store, found: Found, console: Console) -> None:
    """A line that says what is built and how large it will be, and one for damage."""
    layout = store.layout
    left = sum(len(layout.chunks[number]) for number in found.unusable)
    _tell(console, f"{layout}, in {store.folder}; {left:,} of {layout.images:,} outputs are to be computed")
    if found.damaged:
        number, fields = min(found.damaged.items())
        chunk = layout.chunks[number]
        _tell(
            console,
            f"{len(found.damaged)} of {len(layout.chunks)} parts are damaged and computed again (the first: "
            f"{', '.join(fields)} of view {chunk.view}, rows {chunk.start:,} to {chunk.stop - 1:,})",
        )


def _tell(console: Console, line: str) -> None:
    print_line(console, f"teacher cache: {line}")


def _claim(store: Store, description: Description) -> None:
    store.allocate()
    write_atomic(store.folder / "spec.json", msgspec.json.format(msgspec.json.encode(description)))


def _require_shared(store: Store) -> None:
    if not (store.folder / "spec.json").is_file():
        raise EdgedistillError(
            f"teacher cache: {store.folder} is not seen by every process: choose a folder that all machines share."
        )


def _cached(store: Store, dataset: Dataset, sound: dict[int, Entry], device: torch.device) -> CachedTeacher:
    return CachedTeacher(store, dataset, {number: entry.undecodable for number, entry in sound.items()}, device)
